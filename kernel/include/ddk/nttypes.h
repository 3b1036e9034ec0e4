/* nttypes.h: the types and small macros of ntdef.h, and all that the kernel's own headers need. */
#ifndef _NTTYPES_H_
#define _NTTYPES_H_

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <compiler.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Numbers ---- */
#define CONST const
#define VOID void
typedef void *PVOID, *LPVOID;
typedef const void *PCVOID, *LPCVOID;
typedef PVOID *PPVOID;
typedef char CHAR, *PCHAR, *PSTR, *LPSTR, *PCH, *PSZ, *PNZCH;
typedef const char *PCSTR, *PCCH, *LPCSTR, *PCSZ;
typedef signed char SCHAR, *PSCHAR, CCHAR, *PCCHAR;
typedef unsigned char UCHAR, *PUCHAR;
typedef const UCHAR *PCUCHAR;
typedef short SHORT, *PSHORT, CSHORT, *PCSHORT;
typedef unsigned short USHORT, *PUSHORT;
typedef const USHORT *PCUSHORT;
typedef int LONG, *PLONG, INT, *PINT;
typedef unsigned int ULONG, *PULONG, LOGICAL, *PLOGICAL, CLONG, *PCLONG;
typedef const ULONG *PCULONG;
typedef int64_t LONGLONG, *PLONGLONG, LONG64, *PLONG64, INT64, *PINT64;
typedef uint64_t ULONGLONG, *PULONGLONG, ULONG64, *PULONG64, UINT64, *PUINT64, DWORDLONG, *PDWORDLONG, DWORD64,
    *PDWORD64;
typedef int32_t INT32, *PINT32, LONG32, *PLONG32;
typedef uint32_t UINT32, *PUINT32, ULONG32, *PULONG32, DWORD32, *PDWORD32;
typedef int16_t INT16, *PINT16;
typedef uint16_t UINT16, *PUINT16;
typedef int8_t INT8, *PINT8;
typedef uint8_t UINT8, *PUINT8;
typedef intptr_t LONG_PTR, *PLONG_PTR, INT_PTR, *PINT_PTR, SSIZE_T, *PSSIZE_T;
typedef uintptr_t ULONG_PTR, *PULONG_PTR, UINT_PTR, *PUINT_PTR, DWORD_PTR, *PDWORD_PTR, SIZE_T, *PSIZE_T;
typedef ULONGLONG QUAD, UQUAD;
typedef UCHAR BOOLEAN, *PBOOLEAN;
typedef PVOID HANDLE, *PHANDLE;
typedef LONG NTSTATUS, *PNTSTATUS;
typedef LONG HRESULT;
typedef ULONG ACCESS_MASK, *PACCESS_MASK;
typedef ULONG_PTR KAFFINITY, *PKAFFINITY;
typedef LONG KPRIORITY;
typedef CCHAR KPROCESSOR_MODE;
typedef UCHAR KIRQL, *PKIRQL;
typedef ULONG LCID, *PLCID;
typedef LONGLONG USN;
typedef PVOID PSECURITY_DESCRIPTOR, PSID;
typedef ULONG SECURITY_INFORMATION, *PSECURITY_INFORMATION;

/* Built with -fshort-wchar, so that L"..." is UTF-16 as on Windows. */
typedef wchar_t WCHAR, *PWCHAR, *PWCH, *PWSTR, *LPWSTR, *LPWCH, *NWPSTR;
typedef const wchar_t *PCWSTR, *PCWCH, *LPCWSTR, *PCWCHAR;
typedef PWSTR *PZPWSTR;

#define TRUE 1
#define FALSE 0
#ifndef NULL
#ifdef __cplusplus
#define NULL 0
#else
#define NULL ((void *)0)
#endif
#endif
#define MINCHAR 0x80
#define MAXCHAR 0x7F
#define MINSHORT 0x8000
#define MAXSHORT 0x7FFF
#define MINLONG ((LONG)0x80000000)
#define MAXLONG 0x7FFFFFFF
#define MAXUCHAR 0xFF
#define MAXUSHORT 0xFFFF
#define MAXULONG 0xFFFFFFFFu
#define MAXDWORD 0xFFFFFFFFu
#define MAXLONGLONG 0x7FFFFFFFFFFFFFFFLL
#define MAXULONGLONG 0xFFFFFFFFFFFFFFFFULL
#define MAXULONG_PTR (~(ULONG_PTR)0)
#define MAXLONG_PTR ((LONG_PTR)(MAXULONG_PTR >> 1))
#define MAXSIZE_T MAXULONG_PTR
#define ANYSIZE_ARRAY 1
#define UNICODE_NULL ((WCHAR)0)
#define ANSI_NULL ((CHAR)0)
#define UNICODE_STRING_MAX_BYTES ((USHORT)65534)
#define UNICODE_STRING_MAX_CHARS 32767

typedef union _LARGE_INTEGER {
    struct {
        ULONG LowPart;
        LONG HighPart;
    };
    struct {
        ULONG LowPart;
        LONG HighPart;
    } u;
    LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER, PHYSICAL_ADDRESS, *PPHYSICAL_ADDRESS;

typedef union _ULARGE_INTEGER {
    struct {
        ULONG LowPart;
        ULONG HighPart;
    };
    struct {
        ULONG LowPart;
        ULONG HighPart;
    } u;
    ULONGLONG QuadPart;
} ULARGE_INTEGER, *PULARGE_INTEGER;

typedef struct _LUID {
    ULONG LowPart;
    LONG HighPart;
} LUID, *PLUID;

typedef struct _GUID {
    ULONG Data1;
    USHORT Data2;
    USHORT Data3;
    UCHAR Data4[8];
} GUID, *PGUID, *LPGUID, IID, CLSID;
typedef const GUID *LPCGUID;
#ifdef __cplusplus
typedef const GUID &REFGUID;
#define IsEqualGUID(a, b) (!__builtin_memcmp(&(a), &(b), sizeof(GUID)))
#else
typedef const GUID *REFGUID;
#define IsEqualGUID(a, b) (!__builtin_memcmp((a), (b), sizeof(GUID)))
#endif
#ifdef INITGUID
#define DEFINE_GUID(Name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8) \
    EXTERN_C const GUID DECLSPEC_SELECTANY Name = {l, w1, w2, {b1, b2, b3, b4, b5, b6, b7, b8}}
#else
#define DEFINE_GUID(Name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8) EXTERN_C const GUID Name
#endif

/* ---- Lists and strings ---- */
typedef struct _LIST_ENTRY {
    struct _LIST_ENTRY *Flink;
    struct _LIST_ENTRY *Blink;
} LIST_ENTRY, *PLIST_ENTRY, *PRLIST_ENTRY;
typedef const LIST_ENTRY *PCLIST_ENTRY;

typedef struct _SINGLE_LIST_ENTRY {
    struct _SINGLE_LIST_ENTRY *Next;
} SINGLE_LIST_ENTRY, *PSINGLE_LIST_ENTRY;

typedef struct _STRING {
    USHORT Length; /* bytes */
    USHORT MaximumLength;
    PCHAR Buffer;
} STRING, *PSTRING, ANSI_STRING, *PANSI_STRING, OEM_STRING, *POEM_STRING, UTF8_STRING, *PUTF8_STRING, CANSI_STRING;
typedef const STRING *PCSTRING, *PCANSI_STRING, *PCOEM_STRING, *PCUTF8_STRING;

typedef struct _UNICODE_STRING {
    USHORT Length; /* bytes, without a terminator */
    USHORT MaximumLength;
    PWCH Buffer;
} UNICODE_STRING, *PUNICODE_STRING;
typedef const UNICODE_STRING *PCUNICODE_STRING;

/* Of narrow or wide text; the buffer has the type that the string wants. */
#ifdef __cplusplus
extern "C++" {
template <class T> T *RtlMutableText(const T *);
}
#define RTL_CONSTANT_TEXT(s) ((decltype(RtlMutableText(s)))(s))
#else
#define RTL_CONSTANT_TEXT(s) ((void *)(s))
#endif
#define RTL_CONSTANT_STRING(s) {sizeof(s) - sizeof((s)[0]), sizeof(s), RTL_CONSTANT_TEXT(s)}
#define DECLARE_CONST_UNICODE_STRING(Name, String) \
    const WCHAR Name##_buffer[] = String;          \
    const UNICODE_STRING Name = {sizeof(String) - sizeof(WCHAR), sizeof(String), (PWCH)Name##_buffer}
#define DECLARE_GLOBAL_CONST_UNICODE_STRING(Name, String)                \
    static const WCHAR Name##_buffer[] __attribute__((unused)) = String; \
    static const UNICODE_STRING Name                                     \
        __attribute__((unused)) = {sizeof(String) - sizeof(WCHAR), sizeof(String), (PWCH)Name##_buffer}
#define DECLARE_UNICODE_STRING_SIZE(Name, Characters) \
    WCHAR Name##_buffer[Characters];                  \
    UNICODE_STRING Name = {0, (Characters) * sizeof(WCHAR), Name##_buffer}

/* ---- Names of objects ---- */
typedef struct _OBJECT_ATTRIBUTES {
    ULONG Length;
    HANDLE RootDirectory;
    PUNICODE_STRING ObjectName;
    ULONG Attributes;
    PVOID SecurityDescriptor;
    PVOID SecurityQualityOfService;
} OBJECT_ATTRIBUTES, *POBJECT_ATTRIBUTES;
typedef const OBJECT_ATTRIBUTES *PCOBJECT_ATTRIBUTES;

#define OBJ_PROTECT_CLOSE 0x00000001
#define OBJ_INHERIT 0x00000002
#define OBJ_PERMANENT 0x00000010
#define OBJ_EXCLUSIVE 0x00000020
#define OBJ_CASE_INSENSITIVE 0x00000040
#define OBJ_OPENIF 0x00000080
#define OBJ_OPENLINK 0x00000100
#define OBJ_KERNEL_HANDLE 0x00000200
#define OBJ_FORCE_ACCESS_CHECK 0x00000400
#define OBJ_VALID_ATTRIBUTES 0x00001FF2

#define InitializeObjectAttributes(p, n, a, r, s) \
    {                                             \
        (p)->Length = sizeof(OBJECT_ATTRIBUTES);  \
        (p)->RootDirectory = (r);                 \
        (p)->Attributes = (a);                    \
        (p)->ObjectName = (n);                    \
        (p)->SecurityDescriptor = (s);            \
        (p)->SecurityQualityOfService = NULL;     \
    }
#define RTL_CONSTANT_OBJECT_ATTRIBUTES(n, a) {sizeof(OBJECT_ATTRIBUTES), NULL, (PUNICODE_STRING)(n), (a), NULL, NULL}
#define RTL_INIT_OBJECT_ATTRIBUTES(n, a) RTL_CONSTANT_OBJECT_ATTRIBUTES(n, a)

typedef struct _CLIENT_ID {
    HANDLE UniqueProcess;
    HANDLE UniqueThread;
} CLIENT_ID, *PCLIENT_ID;

/* ---- Access rights that all objects have ---- */
#define DELETE 0x00010000
#define READ_CONTROL 0x00020000
#define WRITE_DAC 0x00040000
#define WRITE_OWNER 0x00080000
#define SYNCHRONIZE 0x00100000
#define STANDARD_RIGHTS_REQUIRED 0x000F0000
#define STANDARD_RIGHTS_READ READ_CONTROL
#define STANDARD_RIGHTS_WRITE READ_CONTROL
#define STANDARD_RIGHTS_EXECUTE READ_CONTROL
#define STANDARD_RIGHTS_ALL 0x001F0000
#define SPECIFIC_RIGHTS_ALL 0x0000FFFF
#define ACCESS_SYSTEM_SECURITY 0x01000000
#define MAXIMUM_ALLOWED 0x02000000
#define GENERIC_ALL 0x10000000
#define GENERIC_EXECUTE 0x20000000
#define GENERIC_WRITE 0x40000000
#define GENERIC_READ 0x80000000

/* ---- Results and small macros ---- */
#define NT_SUCCESS(Status) (((NTSTATUS)(Status)) >= 0)
#define NT_INFORMATION(Status) ((ULONG)(Status) >> 30 == 1)
#define NT_WARNING(Status) ((ULONG)(Status) >> 30 == 2)
#define NT_ERROR(Status) ((ULONG)(Status) >> 30 == 3)
#define UNREFERENCED_PARAMETER(P) ((void)(P))
#define UNREFERENCED_LOCAL_VARIABLE(V) ((void)(V))
#define DBG_UNREFERENCED_PARAMETER(P) ((void)(P))
#define DBG_UNREFERENCED_LOCAL_VARIABLE(V) ((void)(V))
#define ARGUMENT_PRESENT(A) ((A) != NULL)
#define CONTAINING_RECORD(Address, Type, Field) ((Type *)((PUCHAR)(Address) - offsetof(Type, Field)))
#define FIELD_OFFSET(Type, Field) ((LONG)offsetof(Type, Field))
#define UFIELD_OFFSET(Type, Field) ((ULONG)offsetof(Type, Field))
#define FIELD_SIZE(Type, Field) sizeof(((Type *)0)->Field)
#define RTL_FIELD_SIZE(Type, Field) sizeof(((Type *)0)->Field)
#define RTL_SIZEOF_THROUGH_FIELD(Type, Field) (offsetof(Type, Field) + RTL_FIELD_SIZE(Type, Field))
#define RTL_CONTAINS_FIELD(Struct, Bytes, Field) \
    ((PUCHAR)(&(Struct)->Field) + sizeof((Struct)->Field) <= (PUCHAR)(Struct) + (Bytes))
#define RTL_NUMBER_OF(A) (sizeof(A) / sizeof((A)[0]))
#define RTL_NUMBER_OF_FIELD(Type, Field) RTL_NUMBER_OF(((Type *)0)->Field)
#define ARRAYSIZE(A) RTL_NUMBER_OF(A)
#define _ARRAYSIZE(A) RTL_NUMBER_OF(A)
#define _countof(A) RTL_NUMBER_OF(A)
#define NOTHING
#define TYPE_ALIGNMENT(Type) _Alignof(Type)
#define ALIGN_DOWN_BY(Value, By) ((ULONG_PTR)(Value) & ~((ULONG_PTR)(By) - 1))
#define ALIGN_UP_BY(Value, By) ALIGN_DOWN_BY((ULONG_PTR)(Value) + (By) - 1, By)
#define ALIGN_DOWN(Value, Type) ALIGN_DOWN_BY(Value, sizeof(Type))
#define ALIGN_UP(Value, Type) ALIGN_UP_BY(Value, sizeof(Type))
#define ALIGN_DOWN_POINTER(P, Type) ((PVOID)ALIGN_DOWN(P, Type))
#define ALIGN_UP_POINTER(P, Type) ((PVOID)ALIGN_UP(P, Type))
#define FlagOn(Flags, Flag) ((Flags) & (Flag))
#define BooleanFlagOn(Flags, Flag) ((BOOLEAN)(((Flags) & (Flag)) != 0))
#define SetFlag(Flags, Flag) ((Flags) |= (Flag))
#define ClearFlag(Flags, Flag) ((Flags) &= ~(Flag))
#define LOWORD(l) ((USHORT)((ULONG_PTR)(l) & 0xFFFF))
#define HIWORD(l) ((USHORT)(((ULONG_PTR)(l) >> 16) & 0xFFFF))
#define LOBYTE(w) ((UCHAR)((ULONG_PTR)(w) & 0xFF))
#define HIBYTE(w) ((UCHAR)(((ULONG_PTR)(w) >> 8) & 0xFF))
#define MAKEWORD(a, b) ((USHORT)(((UCHAR)(a)) | ((USHORT)(UCHAR)(b)) << 8))
#define MAKELONG(a, b) ((LONG)(((USHORT)(a)) | ((ULONG)(USHORT)(b)) << 16))
#ifndef NOMINMAX
#ifndef min
#define min(a, b) (((a) < (b)) ? (a) : (b))
#endif
#ifndef max
#define max(a, b) (((a) > (b)) ? (a) : (b))
#endif
#endif

/* ---- Pointers and handles as numbers, and back ---- */
#define ULongToHandle(h) ((HANDLE)(ULONG_PTR)(ULONG)(h))
#define LongToHandle(h) ((HANDLE)(LONG_PTR)(LONG)(h))
#define HandleToULong(h) ((ULONG)(ULONG_PTR)(h))
#define HandleToLong(h) ((LONG)(LONG_PTR)(h))
#define PtrToUlong(p) ((ULONG)(ULONG_PTR)(p))
#define PtrToLong(p) ((LONG)(LONG_PTR)(p))
#define PtrToUint(p) ((ULONG)(ULONG_PTR)(p))
#define PtrToInt(p) ((LONG)(LONG_PTR)(p))
#define PtrToUshort(p) ((USHORT)(ULONG_PTR)(p))
#define ULongToPtr(u) ((PVOID)(ULONG_PTR)(ULONG)(u))
#define LongToPtr(l) ((PVOID)(LONG_PTR)(LONG)(l))
#define IntToPtr(i) ((PVOID)(LONG_PTR)(int)(i))
#define UIntToPtr(u) ((PVOID)(ULONG_PTR)(unsigned int)(u))
#define HandleToUlong(h) HandleToULong(h)
#define UlongToHandle(u) ULongToHandle(u)
#define UlongToPtr(u) ULongToPtr(u)
#define PtrToULong(p) PtrToUlong(p)

#ifdef __cplusplus
}
#endif
#endif
