/* fuzz_archive.c: the archive reader over arbitrary bytes: it comes to an end, and each file that it names lies inside.
 * Built with -fsanitize=fuzzer for libFuzzer. */
#include <ntddk.h>
#include <rtl.h>

int CheckFailures;
_Noreturn void abort(void);

int LLVMFuzzerTestOneInput(const UCHAR *Archive, SIZE_T Bytes) {
    SIZE_T Offset = 0, Last = 0, Length;
    const void *Data, *Again;
    PCSTR Name;
    volatile UCHAR Sum = 0;
    while (RtlNextArchiveFile(Archive, Bytes, &Offset, &Name, &Data, &Length)) {
        CHECK(Offset > Last);
        Last = Offset;
        for (PCSTR At = Name; *At != 0; At++) {
            Sum += (UCHAR)*At;
        }
        for (SIZE_T i = 0; i < Length; i++) {
            Sum += ((const UCHAR *)Data)[i];
        }
        BOOLEAN IsDotted = Name[0] == '.' && Name[1] == '/';
        CHECK(RtlFindArchiveFile(Archive, Bytes, IsDotted ? Name + 2 : Name, &Again, &Length) ||
              (IsDotted && Name[2] == '.' && Name[3] == '/'));
    }
    if (CheckFailures != 0) {
        abort();
    }
    return 0;
}
