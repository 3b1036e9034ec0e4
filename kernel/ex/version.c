/* version.c: the Windows version reported to drivers: 10.0 build 17763 (1809). */
#include <ntddk.h>

#define MAJOR 10
#define MINOR 0
#define BUILD 17763
#define PLATFORM_NT 2
#define PRODUCT_WORKSTATION 1
#define WDM_MAJOR 6

/* PASSIVE_LEVEL. The caller has set the size: RTL_OSVERSIONINFOW, or the longer EX form. STATUS_INVALID_PARAMETER. */
NTSTATUS RtlGetVersion(PRTL_OSVERSIONINFOW VersionInformation) {
    ULONG Bytes = VersionInformation->dwOSVersionInfoSize;
    if (Bytes != sizeof(RTL_OSVERSIONINFOW) && Bytes != sizeof(RTL_OSVERSIONINFOEXW)) {
        return STATUS_INVALID_PARAMETER;
    }
    RtlZeroMemory(VersionInformation, Bytes);
    VersionInformation->dwOSVersionInfoSize = Bytes;
    VersionInformation->dwMajorVersion = MAJOR;
    VersionInformation->dwMinorVersion = MINOR;
    VersionInformation->dwBuildNumber = BUILD;
    VersionInformation->dwPlatformId = PLATFORM_NT;
    if (Bytes == sizeof(RTL_OSVERSIONINFOEXW)) {
        ((PRTL_OSVERSIONINFOEXW)VersionInformation)->wProductType = PRODUCT_WORKSTATION;
    }
    return STATUS_SUCCESS;
}

/* PASSIVE_LEVEL. Each pointer may be NULL. FALSE: a free build. */
BOOLEAN PsGetVersion(PULONG MajorVersion, PULONG MinorVersion, PULONG BuildNumber, PUNICODE_STRING CSDVersion) {
    if (MajorVersion != NULL) {
        *MajorVersion = MAJOR;
    }
    if (MinorVersion != NULL) {
        *MinorVersion = MINOR;
    }
    if (BuildNumber != NULL) {
        *BuildNumber = BUILD;
    }
    if (CSDVersion != NULL) {
        RtlInitUnicodeString(CSDVersion, NULL); /* no service pack */
    }
    return FALSE;
}

/* Whether the driver model of this machine is at least that one: WDM 6.0. PASSIVE_LEVEL. */
BOOLEAN IoIsWdmVersionAvailable(UCHAR MajorVersion, UCHAR MinorVersion) {
    return MajorVersion < WDM_MAJOR || (MajorVersion == WDM_MAJOR && MinorVersion == 0);
}
