; drivercfi.asm: how a debugger that has not loaded a driver's symbols gets through the driver's code: by the code's own bytes.
;
; Drivers keep the rbp chain, as all of this kernel does. So the caller is found from rbp, but in three places, which can
; be told by the instruction that the CPU is at:
;
;       55          push rbp            the function has just been entered: the caller is at [rsp], rbp is still the caller's
;       C3          ret                 about to be left: the same
;       48 89 E5    mov rbp, rsp        rbp has been pushed: the caller is at [rsp + 8]
;       else                            the frame is there: the caller is at [rbp + 8]
;
; The table is DWARF's, and has no code: expressions take the place of the rows that nobody can give in advance.

%include "cfi.inc"

DRIVER_IMAGES       equ 0FFFFFFFFA0000000h ; MM_DRIVER_IMAGES
DRIVER_IMAGES_BYTES equ 20000000h

DW_CFA_BY           equ 0Fh             ; expression
DW_VALUE_BY         equ 16h             ; register, expression
OP_DEREF            equ 06h
OP_CONST1           equ 08h             ; byte
OP_CONST4           equ 0Ch             ; four bytes
OP_DUP              equ 12h
OP_DROP             equ 13h
OP_AND              equ 1Ah
OP_EQ               equ 29h
OP_BRA              equ 28h             ; two bytes of distance, from behind them, if the top is not 0
OP_SKIP             equ 2Fh
OP_BREG             equ 70h             ; + register: its contents + offset
OP_DEREF_SIZE       equ 94h             ; byte

%macro BRANCH 2                         ; OP_BRA or OP_SKIP, where to
        db      %1
        dw      %2 - $ - 2
%endmacro
%macro BYTE_AT_RIP 1                    ; pushes it
        db      OP_BREG + DW_RIP, %1 & 7Fh, OP_DEREF_SIZE, 1
%endmacro

; %1, %2, %3: what is to be computed with a frame, at the entry or the exit of a function, and with rbp only pushed. What
; looks like an entry may be a return address: behind a call that never returns, the next function begins.
%macro EXPRESSION 3
        dw      (%%end - %%start) & 7Fh | 80h | (%%end - %%start) >> 7 << 8 ; the length, in DWARF's form
%%start:
        BYTE_AT_RIP 0
        db      OP_DUP, OP_CONST1, 0C3h, OP_EQ
        BRANCH  OP_BRA, %%exit
        db      OP_CONST1, 55h, OP_EQ
        BRANCH  OP_BRA, %%entry
        db      OP_BREG + DW_RIP, 0, OP_DEREF_SIZE, 4, OP_CONST4
        dd      0FFFFFFh
        db      OP_AND, OP_CONST4
        dd      0E58948h
        db      OP_EQ
        BRANCH  OP_BRA, %%pushed
%%framed:
        db      %1
        BRANCH  OP_SKIP, %%end
%%entry:
        BYTE_AT_RIP -5
        db      OP_CONST1, 0E8h, OP_EQ
        BRANCH  OP_BRA, %%framed
        db      %2
        BRANCH  OP_SKIP, %%end
%%exit: db      OP_DROP, %2
        BRANCH  OP_SKIP, %%end
%%pushed:
        db      %3
%%end:
%endmacro

        CFI_SECTION
Shared:
        dd      SharedEnd - Shared - 4, 0FFFFFFFFh
        db      1, 0, 1, 78h, DW_RIP
        db      DW_CFA_BY
        EXPRESSION {OP_BREG + DW_RBP, 16}, {OP_BREG + DW_RSP, 8}, {OP_BREG + DW_RSP, 16}
        db      DW_AT + DW_RIP, 1, DW_VALUE_BY, DW_RBP
        EXPRESSION {OP_BREG + DW_RBP, 0, OP_DEREF}, {OP_BREG + DW_RBP, 0}, {OP_BREG + DW_RSP, 0, OP_DEREF}
        ; which of these a function has saved, and where, only its own table says
        db      DW_UNDEFINED, DW_RBX, DW_UNDEFINED, 12, DW_UNDEFINED, 13, DW_UNDEFINED, 14, DW_UNDEFINED, 15
        align   8, db 0
SharedEnd:
        dd      RowsEnd - Rows, Shared
Rows    equ $ - 4
        dq      DRIVER_IMAGES, DRIVER_IMAGES_BYTES
        align   8, db 0
RowsEnd:
