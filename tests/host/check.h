/* check.h: host tests: rtl's names kept apart from the C library's, and CHECK, which reports and goes on. */
#ifndef _CHECK_H_
#define _CHECK_H_

#define memcpy KernelMemcpy
#define memmove KernelMemmove
#define memset KernelMemset
#define memcmp KernelMemcmp
#define strlen KernelStrlen
#define strnlen KernelStrnlen
#define strcmp KernelStrcmp
#define strncmp KernelStrncmp
#define strchr KernelStrchr
#define strrchr KernelStrrchr
#define strstr KernelStrstr
#define sprintf KernelSprintf
#define wcslen KernelWcslen
#define wcscmp KernelWcscmp
#define wcschr KernelWcschr
#define wcsrchr KernelWcsrchr

int printf(const char *Format, ...);

extern int CheckFailures;
#define CHECK(Condition)                                           \
    do {                                                           \
        if (!(Condition)) {                                        \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #Condition); \
            CheckFailures++;                                       \
        }                                                          \
    } while (0)

#endif
