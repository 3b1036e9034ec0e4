/* fuzz_loader.c: the module loader over arbitrary files: each is refused with a reason, or placed and relocated within
 * its own pages. Built with -fsanitize=fuzzer for libFuzzer. */
#include "loaderhost.h"

int CheckFailures;
_Noreturn void abort(void);

int LLVMFuzzerTestOneInput(const UCHAR *Data, SIZE_T Bytes) {
    UCHAR *Memory = malloc(Bytes + 4), *File = Memory + 4; /* as a file lies in the archive: at a multiple of 4 only */
    LDRP_IMAGE Image;
    KernelMemcpy(File, Data, Bytes);
    BOOLEAN IsLoaded = Load(&Image, File, Bytes);
    CHECK(IsLoaded || (Image.Reason[0] != 0 && !NT_SUCCESS(Image.Status)));
    if (IsLoaded) {
        LdrpProtectSections(&Image);
        LdrpDiscardInit(&Image);
    }
    Unload();
    free(Memory);
    if (CheckFailures != 0) {
        abort();
    }
    return 0;
}
