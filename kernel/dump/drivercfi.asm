; drivercfi.asm: unwind rows that lead a debugger through driver code whose symbols it has not loaded.
;
; Where a fault or an interrupt has stopped a driver when the machine died, the kernel has left the answer in KiStopped
; (dump/bugdump.c), an array of four words: rip and rsp, and the caller's rsp and rbp. Everywhere else the code's own bytes
; tell. A function that has called another one has a frame, so the caller is found from rbp, except in three places:
;
;       55          push rbp            the function has just been entered: the caller is at [rsp], rbp is still the caller's
;       C3          ret                 about to be left: the same
;       48 89 E5    mov rbp, rsp        rbp has been pushed: the caller is at [rsp + 8]
;       else                            the frame is there: the caller is at [rbp + 8]
;
; The table is DWARF's, and has no code: expressions take the place of rows that cannot be written in advance.

%include "cfi.inc"

DRIVER_IMAGES       equ 0FFFFFFFFA0000000h ; MM_DRIVER_IMAGES
DRIVER_IMAGES_BYTES equ 20000000h
STOPPED_BYTES       equ 512             ; KiStopped
STOPPED_ENTRY       equ 32
STOPPED_RSP         equ 8
STOPPED_CALLER_RSP  equ 16
STOPPED_CALLER_RBP  equ 24

        extern  KiStopped

DW_CFA_BY           equ 0Fh             ; expression
DW_VALUE_BY         equ 16h             ; register, expression
OP_ADDRESS          equ 03h             ; eight bytes
OP_DEREF            equ 06h
OP_CONST1           equ 08h             ; byte
OP_CONST4           equ 0Ch             ; four bytes
OP_DUP              equ 12h
OP_DROP             equ 13h
OP_AND              equ 1Ah
OP_ADD              equ 23h             ; + number
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

; %1, %2, %3: the expression for code with a frame, at the entry or the exit of a function, and with rbp only pushed;
; %4: the word of KiStopped that says the same. An apparent entry may be a return address: behind a call that never
; returns, the next function begins.
%macro EXPRESSION 4
        dw      (%%end - %%start) & 7Fh | 80h | (%%end - %%start) >> 7 << 8 ; the length, in DWARF's form
%%start:
        db      OP_ADDRESS
        dq      KiStopped
%%look: db      OP_DUP, OP_DEREF, OP_BREG + DW_RIP, 0, OP_EQ
        BRANCH  OP_BRA, %%same_rip
%%next: db      OP_ADD, STOPPED_ENTRY, OP_DUP, OP_ADDRESS
        dq      KiStopped + STOPPED_BYTES
        db      OP_EQ
        BRANCH  OP_BRA, %%not_there
        BRANCH  OP_SKIP, %%look
%%same_rip:
        db      OP_DUP, OP_ADD, STOPPED_RSP, OP_DEREF, OP_BREG + DW_RSP, 0, OP_EQ
        BRANCH  OP_BRA, %%there
        BRANCH  OP_SKIP, %%next
%%there: db     OP_ADD, %4, OP_DEREF
        BRANCH  OP_SKIP, %%end
%%not_there:
        db      OP_DROP
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
        EXPRESSION {OP_BREG + DW_RBP, 16}, {OP_BREG + DW_RSP, 8}, {OP_BREG + DW_RSP, 16}, STOPPED_CALLER_RSP
        db      DW_AT + DW_RIP, 1, DW_VALUE_BY, DW_RBP
        EXPRESSION {OP_BREG + DW_RBP, 0, OP_DEREF}, {OP_BREG + DW_RBP, 0}, {OP_BREG + DW_RSP, 0, OP_DEREF}, STOPPED_CALLER_RBP
        ; which of these a function has saved, and where, only its own table says
        db      DW_UNDEFINED, DW_rbx, DW_UNDEFINED, 12, DW_UNDEFINED, 13, DW_UNDEFINED, 14, DW_UNDEFINED, 15
        align   8, db 0
SharedEnd:
        dd      RowsEnd - Rows, Shared
Rows    equ $ - 4
        dq      DRIVER_IMAGES, DRIVER_IMAGES_BYTES
        align   8, db 0
RowsEnd:
