/* api_intrinsics.c: the compiler's own functions that drivers use: bits, fences, CPUID, bytes the other way round, the stack.
 *
 * expect: completed
 */
#include <ntddk.h>
#include <intrin.h>
#include <malloc.h>

DRIVER_INITIALIZE DriverEntry;

static const ULONG Words[] = {1, 2, 3};

static BOOLEAN AreBitsRight(VOID) {
    unsigned long Index = 0;
    LONG Flags = 4;
    BOOLEAN IsRight = _BitScanForward(&Index, 0x50) && Index == 4 && _BitScanReverse(&Index, 0x50) && Index == 6;
    IsRight = IsRight && !_BitScanForward64(&Index, 0ULL) && _BitScanReverse64(&Index, 1ULL << 40) && Index == 40;
    IsRight = IsRight && InterlockedBitTestAndSet(&Flags, 2) && !InterlockedBitTestAndSet(&Flags, 0) && Flags == 5;
    return IsRight && InterlockedBitTestAndReset(&Flags, 2) && Flags == 1 && _InterlockedIncrement(&Flags) == 2;
}

static BOOLEAN IsStackOurs(SIZE_T Bytes) {
    PUCHAR Memory = _alloca(Bytes);
    RtlFillMemory(Memory, Bytes, 0x5A);
    return Memory[Bytes - 1] == 0x5A && (PVOID)Memory < _AddressOfReturnAddress();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    int Leaf[4];
    __cpuid(Leaf, 0);
    for (ULONG i = 0; i < _countof(Words); i++) {
        _mm_pause();
        __nop();
    }
    _mm_mfence();
    BOOLEAN IsRight = Leaf[0] > 0 && _byteswap_ulong(0x11223344) == 0x44332211 && (__readeflags() & 0x200) != 0 &&
                      (__readcr0() & 1) != 0;
    NT_ASSERTMSG("the machine is in protected mode", IsRight);
    return IsRight && AreBitsRight() && IsStackOurs(100) ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
