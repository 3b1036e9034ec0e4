/* wdmsec.h: named devices with a descriptor, written in SDDL, that says which callers may open them.
 *
 * On Windows these calls come from wdmsec.lib, here from the kernel. All callers are the kernel, so none is refused. */
#ifndef _WDMSEC_H_
#define _WDMSEC_H_

#include <wdm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* SYS: the system, ADM: administrators, WORLD: all, RES: restricted code; ALL, or R(ead), W(rite),
 * (e)X(ecute). */
#define SDDL_DEVOBJ_DECLARE(Name_, Text_) \
    static const UNICODE_STRING Name_ __attribute__((unused)) = RTL_CONSTANT_STRING(Text_)
SDDL_DEVOBJ_DECLARE(SDDL_DEVOBJ_KERNEL_ONLY, L"D:P");
SDDL_DEVOBJ_DECLARE(SDDL_DEVOBJ_SYS_ALL, L"D:P(A;;GA;;;SY)");
SDDL_DEVOBJ_DECLARE(SDDL_DEVOBJ_SYS_ALL_ADM_ALL, L"D:P(A;;GA;;;SY)(A;;GA;;;BA)");
SDDL_DEVOBJ_DECLARE(SDDL_DEVOBJ_SYS_ALL_ADM_RX, L"D:P(A;;GA;;;SY)(A;;GRGX;;;BA)");
SDDL_DEVOBJ_DECLARE(SDDL_DEVOBJ_SYS_ALL_ADM_RWX_WORLD_R, L"D:P(A;;GA;;;SY)(A;;GRGWGX;;;BA)(A;;GR;;;WD)");
SDDL_DEVOBJ_DECLARE(SDDL_DEVOBJ_SYS_ALL_ADM_RWX_WORLD_R_RES_R,
                    L"D:P(A;;GA;;;SY)(A;;GRGWGX;;;BA)(A;;GR;;;WD)(A;;GR;;;RC)");
SDDL_DEVOBJ_DECLARE(SDDL_DEVOBJ_SYS_ALL_ADM_RWX_WORLD_RW_RES_R,
                    L"D:P(A;;GA;;;SY)(A;;GRGWGX;;;BA)(A;;GRGW;;;WD)(A;;GR;;;RC)");
SDDL_DEVOBJ_DECLARE(SDDL_DEVOBJ_SYS_ALL_ADM_RWX_WORLD_RWX_RES_RWX,
                    L"D:P(A;;GA;;;SY)(A;;GRGWGX;;;BA)(A;;GRGWGX;;;WD)(A;;GRGWGX;;;RC)");
#define SDDL_DEVOBJ_INF_SUPPLIED SDDL_DEVOBJ_KERNEL_ONLY

NTSTATUS WdmlibIoCreateDeviceSecure(PDRIVER_OBJECT DriverObject, ULONG DeviceExtensionSize, PUNICODE_STRING DeviceName,
                                    DEVICE_TYPE DeviceType, ULONG DeviceCharacteristics, BOOLEAN Exclusive,
                                    PCUNICODE_STRING DefaultSDDLString, LPCGUID DeviceClassGuid,
                                    PDEVICE_OBJECT *DeviceObject);
NTSTATUS WdmlibIoValidateDeviceIoControlAccess(PIRP Irp, ULONG RequiredAccess);

#define IoCreateDeviceSecure WdmlibIoCreateDeviceSecure
#define IoValidateDeviceIoControlAccess WdmlibIoValidateDeviceIoControlAccess
#define WdmlibRtlInitUnicodeStringEx RtlInitUnicodeStringEx

#ifdef __cplusplus
}
#endif
#endif
