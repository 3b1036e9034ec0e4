/* rtl.h: strings, printing, lists: code without globals, which is tested on the host too. */
#ifndef _RTL_H_
#define _RTL_H_

#include <ntdef.h>

/* NT's formats (%u %d %x %X %p %s %c %wZ %Z %S %ws %I64x %lu = 32 bits %llu %zu, width, precision, flags - 0 # + blank).
 * Always terminates when Bytes > 0; returns the length that the whole text would have. Any IRQL for narrow formats. */
int RtlFormatV(PCHAR Buffer, SIZE_T Bytes, PCSTR Format, va_list Arguments);
int RtlFormat(PCHAR Buffer, SIZE_T Bytes, PCSTR Format, ...);
/* The engine under both widths: at most Characters, no terminator; returns the length of the whole text. */
SIZE_T RtlFormatCharactersV(PVOID Buffer, SIZE_T Characters, BOOLEAN IsWide, const void *Format, va_list Arguments);

/* The same into narrow text; Convert makes a byte of each wide character of the arguments. */
SIZE_T RtlFormatConvertedV(PCHAR Buffer, SIZE_T Bytes, CHAR (*Convert)(WCHAR), PCSTR Format, va_list Arguments);

/* The code page of DbgPrint and RtlUnicodeStringToAnsiString, Windows-1252. Any IRQL. */
WCHAR RtlAnsiToUnicodeChar(CHAR Character);
CHAR RtlUnicodeToAnsiChar(WCHAR Character);
VOID RtlFormatGuid(const GUID *Guid, PCHAR Text); /* RTL_GUID_STRING_SIZE characters, no terminator. Any IRQL */

/* cpio "newc" reader over memory. Finds Name; never reads outside [Archive, Archive + Bytes). FALSE: not there or damaged. */
BOOLEAN RtlFindArchiveFile(const void *Archive, SIZE_T Bytes, PCSTR Name, const void **Data, SIZE_T *DataBytes);
/* Walks: *Offset starts at 0; FALSE at the end or at the first damaged header. */
BOOLEAN RtlNextArchiveFile(const void *Archive, SIZE_T Bytes, SIZE_T *Offset, PCSTR *Name, const void **Data,
                           SIZE_T *DataBytes);

#endif
