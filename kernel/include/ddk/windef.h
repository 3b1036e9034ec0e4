/* windef.h: the types that come from Windows' user side. */
#ifndef _WINDEF_H_
#define _WINDEF_H_

#include <ntdef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef ULONG DWORD, *PDWORD, *LPDWORD;
typedef unsigned short WORD, *PWORD, *LPWORD, ATOM;
typedef unsigned char BYTE, *PBYTE, *LPBYTE;
typedef int BOOL, *PBOOL, *LPBOOL, *LPINT;
typedef unsigned int UINT, *PUINT;
typedef float FLOAT, *PFLOAT;
typedef LONG *LPLONG;
typedef UINT_PTR WPARAM;
typedef LONG_PTR LPARAM, LRESULT;
typedef HANDLE HINSTANCE, HMODULE, HKEY, HWND, HLOCAL, HGLOBAL;
typedef struct _FILETIME {
    DWORD dwLowDateTime;
    DWORD dwHighDateTime;
} FILETIME, *PFILETIME, *LPFILETIME;
typedef struct tagPOINT {
    LONG x, y;
} POINT, *PPOINT;
typedef struct tagRECT {
    LONG left, top, right, bottom;
} RECT, *PRECT;
#define MAX_PATH 260
#define INVALID_HANDLE_VALUE ((HANDLE)(LONG_PTR)(-1))
#define INFINITE 0xFFFFFFFF

#ifdef __cplusplus
}
#endif
#endif
