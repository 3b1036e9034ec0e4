/* compiler.h: Microsoft's compiler's extensions in driver sources, in terms of GCC.
 *
 * Structured exception handling needs tables that this compiler does not write for C, and here nothing is caught: an
 * exception stops the machine, as it does on Windows without a handler. So that such sources build, the body of
 * __try runs as a plain block, __except and its filter never run, __finally runs after the body, and __leave leaves
 * the body (from inside a loop or a switch of the body: only that). A `return` in the body skips __finally. */
#ifndef _COMPILER_H_
#define _COMPILER_H_

#ifdef __cplusplus
#define EXTERN_C extern "C"
#define EXTERN_C_START extern "C" {
#define EXTERN_C_END }
#else
#define EXTERN_C extern
#define EXTERN_C_START
#define EXTERN_C_END
#endif

/* ---- The machine ---- */
#define _WIN64 1
#define _AMD64_ 1
#define _M_AMD64 100
#define _M_X64 100
#define _KERNEL_MODE 1
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0A00
#endif
#ifndef WINVER
#define WINVER _WIN32_WINNT
#endif
#ifndef NTDDI_VERSION
#define NTDDI_VERSION 0x0A000007
#endif
#define NTDDI_WIN2K 0x05000000
#define NTDDI_WINXP 0x05010000
#define NTDDI_WS03 0x05020000
#define NTDDI_VISTA 0x06000000
#define NTDDI_WIN6 0x06000000
#define NTDDI_LONGHORN 0x06000000
#define NTDDI_WIN7 0x06010000
#define NTDDI_WIN8 0x06020000
#define NTDDI_WINBLUE 0x06030000
#define NTDDI_WIN10 0x0A000000
#define NTDDI_WIN10_RS5 0x0A000006
#define NTDDI_WIN10_VB 0x0A000008
#define _WIN32_WINNT_VISTA 0x0600
#define _WIN32_WINNT_WIN7 0x0601
#define _WIN32_WINNT_WIN8 0x0602
#define _WIN32_WINNT_WIN10 0x0A00

/* ---- Calling conventions: there is one ---- */
#define NTAPI
#define FASTCALL
#define CALLBACK
#define WINAPI
#define APIENTRY
#define NTAPI_INLINE
#define NTKERNELAPI
#define NTSYSAPI
#define NTSYSCALLAPI
#define NTHALAPI
#define STDAPICALLTYPE
#define DDKAPI
#define FAR
#define NEAR
#define far
#define near
#define RESTRICTED_POINTER
#define UNALIGNED
#define POINTER_64
#define __ptr64
#define __ptr32
#define __w64
#define __unaligned
#define __cdecl
#define _cdecl
#define __stdcall
#define _stdcall
#define __fastcall
#define _fastcall
#define __vectorcall
#define __thiscall
#define __clrcall
#define __pragma(x)
#define __int8 char
#define __int16 short
#define __int32 int
#define __int64 long

/* ---- __declspec(word) is __declspec_word ---- */
#define __declspec(x) __declspec_##x
#define _declspec(x) __declspec_##x
#define __declspec_dllimport
#define __declspec_dllexport
#define __declspec_novtable
#define __declspec_nothrow
#define __declspec_safebuffers
#define __declspec_restrict
#define __declspec_deprecated
#define __declspec_no_sanitize_address
#define __declspec_noalias
#define __declspec_naked __attribute__((naked))
#define __declspec_noreturn __attribute__((noreturn))
#define __declspec_noinline __attribute__((noinline))
#define __declspec_selectany __attribute__((weak))
#define __declspec_align(x) __attribute__((aligned(x)))
#define __declspec_allocate(x) __attribute__((section(x)))
#define __declspec_code_seg(x) __attribute__((section(x)))
#define __declspec_uuid(x)
#define __declspec_property(...)
#define __declspec_guard(x)
#define __declspec_spectre(x)

#define DECLSPEC_IMPORT
#define DECLSPEC_EXPORT
#define DECLSPEC_NOTHROW
#define DECLSPEC_NOVTABLE
#define DECLSPEC_RESTRICT
#define DECLSPEC_SAFEBUFFERS
#define DECLSPEC_DEPRECATED
#define DECLSPEC_DEPRECATED_DDK
#define DECLSPEC_UUID(x)
#define DECLSPEC_ADDRSAFE
#define DECLSPEC_CACHEALIGN __attribute__((aligned(64)))
#define DECLSPEC_NOINLINE __attribute__((noinline))
#define DECLSPEC_SELECTANY __attribute__((weak))
#define DECLSPEC_ALIGN(x) __attribute__((aligned(x)))
#define DECLSPEC_NORETURN __attribute__((noreturn))
#define FORCEINLINE inline __attribute__((always_inline))
#define CFORCEINLINE FORCEINLINE
#define __forceinline inline __attribute__((always_inline))
#ifndef __cplusplus
#define __inline inline
#define _inline inline
#endif

/* ---- Checks at compile time ---- */
#ifdef __cplusplus
#define C_ASSERT(e) static_assert((e), #e)
#else
#define C_ASSERT(e) _Static_assert((e), #e)
#ifndef static_assert
#define static_assert _Static_assert /* a word of Microsoft's C too */
#endif
#endif
#define __analysis_assert(x)
#define NT_ANALYSIS_ASSUME(x)

/* ---- Structured exceptions, as far as the top of this file says ---- */
/* clang-format off */
#define __try for (int SehOnce = 1; SehOnce; SehOnce = 0)
#define __except(Filter) if (0 && (Filter))
#define __finally
#define __leave break
#define _try __try
#define _except __except
#define _finally __finally
#define _leave __leave
#ifndef __cplusplus /* as Microsoft's excpt.h has them, for C */
#define try __try
#define except __except
#define finally __finally
#define leave __leave
#endif
/* clang-format on */
#define EXCEPTION_EXECUTE_HANDLER 1
#define EXCEPTION_CONTINUE_SEARCH 0
#define EXCEPTION_CONTINUE_EXECUTION (-1)
#define EXCEPTION_NONCONTINUABLE 0x1
#define GetExceptionCode() ((NTSTATUS)0)
#define _exception_code() ((NTSTATUS)0)
#define GetExceptionInformation() ((struct _EXCEPTION_POINTERS *)0)
#define _exception_info() ((struct _EXCEPTION_POINTERS *)0)
#define AbnormalTermination() 0
#define _abnormal_termination() 0

#endif
