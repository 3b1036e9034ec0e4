/* api_atomic.c: interlocked operations in all widths and under their names for a weaker order; the small calls of samples.
 *
 * expect: completed
 */
#include <wdm.h>
#include <intrin.h>

static LONG volatile Word;
static LONG64 Wide;
static SHORT Short;
static CHAR Byte;
static PVOID Pointer;

static BOOLEAN AreWordsRight(VOID) {
    BOOLEAN IsRight = InterlockedIncrementAcquire(&Word) == 1 && InterlockedDecrementRelease(&Word) == 0 &&
                      InterlockedExchangeAcquire(&Word, 3) == 0 && InterlockedCompareExchangeRelease(&Word, 4, 3) == 3;
    WriteRelease(&Word, 7);
    WriteNoFence(&Word, ReadAcquire(&Word) + ReadNoFence(&Word));
    WritePointerRelease(&Pointer, &Wide);
    return IsRight && Word == 14 && InterlockedExchangeSubtract((PULONG)&Word, 4) == 14 && Word == 10 &&
           ReadPointerAcquire(&Pointer) == &Wide;
}

static BOOLEAN AreWidthsRight(VOID) {
    WriteRelease64(&Wide, 9);
    InterlockedOr64(&Wide, 1LL << 40);
    InterlockedAnd64(&Wide, ~1LL);
    InterlockedXor64(&Wide, 8);
    return ReadAcquire64(&Wide) == 1LL << 40 && InterlockedIncrement16(&Short) == 1 &&
           InterlockedCompareExchange16(&Short, -5, 1) == 1 && Short == -5 && InterlockedOr8(&Byte, 3) == 0 &&
           InterlockedExchange8(&Byte, 9) == 3 && Byte == 9;
}

static BOOLEAN AreBitsRight(VOID) {
    ULONG Index;
    return _rotl(0x80000001, 1) == 3 && _rotr(1, 1) == 0x80000000 && _rotl(5, 0) == 5 && _rotl64(1, 63) == 1ULL << 63 &&
           _rotr64(2, 1) == 1 && __umulh(1ULL << 63, 4) == 2 && __popcnt(0xF0F0) == 8 && __popcnt64(~0ULL) == 64 &&
           BitScanForward(&Index, 0x80) && Index == 7;
}

static BOOLEAN IsStackKnown(VOID) {
    ULONG_PTR Low, High, Here = (ULONG_PTR)&Low;
    IoGetStackLimits(&Low, &High);
    return High - Low == 0x6000 && Here > Low && Here < High && IoGetRemainingStackSize() < High - Low &&
           IoGetRemainingStackSize() > High - Low - PAGE_SIZE;
}

static BOOLEAN IsDpcStackKnown;

static VOID OnDpc(PKDPC Dpc, PVOID Context, PVOID First, PVOID Second) {
    UNREFERENCED_PARAMETER(Dpc), UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(First), UNREFERENCED_PARAMETER(Second);
    IsDpcStackKnown = IsStackKnown();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    static KDPC Dpc;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeDpc(&Dpc, OnDpc, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KeFlushQueuedDpcs();
    BOOLEAN IsRight = IoIsWdmVersionAvailable(1, 0x10) && IoIsWdmVersionAvailable(6, 0) &&
                      !IoIsWdmVersionAvailable(7, 0) && ExGetPreviousMode() == KernelMode && IsStackKnown() &&
                      IsDpcStackKnown;
    return IsRight && AreWordsRight() && AreWidthsRight() && AreBitsRight() ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
