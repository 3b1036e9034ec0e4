/* wdmcrt.h: the part of the C run-time library that the kernel exports to drivers. wchar_t has 16 bits.
 *
 * Any IRQL at which the memory is resident; calls that need tables to format, compare or convert wide text, only where
 * pageable memory may be touched: the wide printing calls at PASSIVE_LEVEL, as documented. The _s calls return 0 or an
 * errno number, and leave an empty string behind when it does not fit. */
#ifndef _WDMCRT_H_
#define _WDMCRT_H_

#include <ntdef.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef _ERRNO_T_DEFINED
#define _ERRNO_T_DEFINED
typedef int errno_t;
typedef size_t rsize_t;
#endif
#ifndef EINVAL
#define EINVAL 22
#define ERANGE 34
#endif
#define _TRUNCATE ((size_t)-1)
#define RAND_MAX 0x7FFF

/* ---- Memory ---- */
void *memcpy(void *Destination, const void *Source, size_t Length);
void *memmove(void *Destination, const void *Source, size_t Length);
void *memset(void *Destination, int Value, size_t Length);
int memcmp(const void *A, const void *B, size_t Length);
void *memchr(const void *Memory, int Value, size_t Length);
errno_t memcpy_s(void *Destination, rsize_t Room, const void *Source, rsize_t Length);
errno_t memmove_s(void *Destination, rsize_t Room, const void *Source, rsize_t Length);

/* ---- Strings of bytes ---- */
size_t strlen(const char *String);
size_t strnlen(const char *String, size_t Maximum);
int strcmp(const char *A, const char *B);
int strncmp(const char *A, const char *B, size_t Count);
int _stricmp(const char *A, const char *B);
int _strnicmp(const char *A, const char *B, size_t Count);
char *strcpy(char *Destination, const char *Source);
char *strncpy(char *Destination, const char *Source, size_t Count);
char *strcat(char *Destination, const char *Source);
char *strncat(char *Destination, const char *Source, size_t Count);
errno_t strcpy_s(char *Destination, rsize_t Room, const char *Source);
errno_t strncpy_s(char *Destination, rsize_t Room, const char *Source, rsize_t Count);
errno_t strcat_s(char *Destination, rsize_t Room, const char *Source);
char *strchr(const char *String, int Character);
char *strrchr(const char *String, int Character);
char *strstr(const char *String, const char *Part);
size_t strspn(const char *String, const char *Set);
char *_strlwr(char *String);
char *_strupr(char *String);

/* ---- Strings of UTF-16 ---- */
size_t wcslen(const wchar_t *String);
size_t wcsnlen(const wchar_t *String, size_t Maximum);
int wcscmp(const wchar_t *A, const wchar_t *B);
int wcsncmp(const wchar_t *A, const wchar_t *B, size_t Count);
int _wcsicmp(const wchar_t *A, const wchar_t *B);
int _wcsnicmp(const wchar_t *A, const wchar_t *B, size_t Count);
wchar_t *wcscpy(wchar_t *Destination, const wchar_t *Source);
wchar_t *wcsncpy(wchar_t *Destination, const wchar_t *Source, size_t Count);
wchar_t *wcscat(wchar_t *Destination, const wchar_t *Source);
wchar_t *wcsncat(wchar_t *Destination, const wchar_t *Source, size_t Count);
errno_t wcscpy_s(wchar_t *Destination, rsize_t Room, const wchar_t *Source);
errno_t wcsncpy_s(wchar_t *Destination, rsize_t Room, const wchar_t *Source, rsize_t Count);
errno_t wcscat_s(wchar_t *Destination, rsize_t Room, const wchar_t *Source);
wchar_t *wcschr(const wchar_t *String, wchar_t Character);
wchar_t *wcsrchr(const wchar_t *String, wchar_t Character);
wchar_t *wcsstr(const wchar_t *String, const wchar_t *Part);
size_t wcsspn(const wchar_t *String, const wchar_t *Set);
wchar_t *_wcslwr(wchar_t *String);
wchar_t *_wcsupr(wchar_t *String);

/* ---- Printing into memory ---- */
int sprintf(char *Buffer, const char *Format, ...);
int vsprintf(char *Buffer, const char *Format, va_list Arguments);
int sprintf_s(char *Buffer, size_t Count, const char *Format, ...);
int vsprintf_s(char *Buffer, size_t Count, const char *Format, va_list Arguments);
int swprintf_s(wchar_t *Buffer, size_t Count, const wchar_t *Format, ...);
int vswprintf_s(wchar_t *Buffer, size_t Count, const wchar_t *Format, va_list Arguments);
int _snprintf(char *Buffer, size_t Count, const char *Format, ...);
int _vsnprintf(char *Buffer, size_t Count, const char *Format, va_list Arguments);
int _snprintf_s(char *Buffer, size_t Room, size_t Count, const char *Format, ...);
int _vsnprintf_s(char *Buffer, size_t Room, size_t Count, const char *Format, va_list Arguments);
int _snwprintf(wchar_t *Buffer, size_t Count, const wchar_t *Format, ...);
int _vsnwprintf(wchar_t *Buffer, size_t Count, const wchar_t *Format, va_list Arguments);
int _snwprintf_s(wchar_t *Buffer, size_t Room, size_t Count, const wchar_t *Format, ...);
int _vsnwprintf_s(wchar_t *Buffer, size_t Room, size_t Count, const wchar_t *Format, va_list Arguments);
int swprintf(wchar_t *Buffer, const wchar_t *Format, ...);
int _swprintf(wchar_t *Buffer, const wchar_t *Format, ...);

/* ---- Characters and numbers ---- */
int isdigit(int Character);
int isxdigit(int Character);
int islower(int Character);
int isupper(int Character);
int isalpha(int Character);
int isalnum(int Character);
int isspace(int Character);
int isprint(int Character);
int tolower(int Character);
int toupper(int Character);
wchar_t towlower(wchar_t Character);
wchar_t towupper(wchar_t Character);
int atoi(const char *String);
int atol(const char *String); /* 32 bits */
LONGLONG _atoi64(const char *String);
int _wtoi(const wchar_t *String);
int _wtol(const wchar_t *String);
LONG strtol(const char *String, char **End, int Base);
ULONG strtoul(const char *String, char **End, int Base);
ULONG wcstoul(const wchar_t *String, wchar_t **End, int Base);
char *_itoa(int Value, char *Buffer, int Radix);
wchar_t *_itow(int Value, wchar_t *Buffer, int Radix);
errno_t _itoa_s(int Value, char *Buffer, size_t Room, int Radix);
errno_t _itow_s(int Value, wchar_t *Buffer, size_t Room, int Radix);
int abs(int Value);
int rand(void);
void srand(unsigned int Seed);
void qsort(void *Base, size_t Count, size_t Bytes, int (*Compare)(const void *A, const void *B));
void *bsearch(const void *Key, const void *Base, size_t Count, size_t Bytes,
              int (*Compare)(const void *Key, const void *Element));

#ifdef __cplusplus
}

/* Room known from the type, as Microsoft's C++ headers have it. */
extern "C++" {
template <size_t Room> inline errno_t strcpy_s(char (&Destination)[Room], const char *Source) {
    return strcpy_s(Destination, Room, Source);
}
template <size_t Room> inline errno_t strcat_s(char (&Destination)[Room], const char *Source) {
    return strcat_s(Destination, Room, Source);
}
template <size_t Room> inline errno_t wcscpy_s(wchar_t (&Destination)[Room], const wchar_t *Source) {
    return wcscpy_s(Destination, Room, Source);
}
template <size_t Room> inline errno_t wcscat_s(wchar_t (&Destination)[Room], const wchar_t *Source) {
    return wcscat_s(Destination, Room, Source);
}
template <size_t Room, class... Rest>
inline int sprintf_s(char (&Buffer)[Room], const char *Format, Rest... Arguments) {
    return sprintf_s(Buffer, Room, Format, Arguments...);
}
template <size_t Room, class... Rest>
inline int swprintf_s(wchar_t (&Buffer)[Room], const wchar_t *Format, Rest... Arguments) {
    return swprintf_s(Buffer, Room, Format, Arguments...);
}
}
#endif
#endif
