; ap.asm: the path of every other CPU from real mode into the kernel, copied to a page below 1 MiB.
;
; The start-up IPI names a page, and the CPU begins at its first byte in real mode: CS = page / 16, IP = 0. smp.c has
; copied KiTrampoline there and filled in CR3 and the page's own address. From real mode it goes to long mode in one
; step, because the kernel's page tables exist already and map this page at its own address. Nothing is written to the
; page: it is mapped read-only and executable.

%include "offsets.inc"

MSR_EFER        equ 0xC0000080
EFER_LME        equ 1 << 8
EFER_NXE        equ 1 << 11
CR0_START       equ 1 << 31 | 1 << 16 | 1 << 5 | 1 << 1 | 1 << 0 ; PG, WP, NE, MP, PE; caches on
CR4_START       equ 1 << 7 | 1 << 5 ; PGE, PAE

        extern  KiProcessorStartup, KiTrampolineMailbox
        global  KiTrampoline, KiTrampolineEnd
        global  KiTrampolineCr3                        ; smp.c fills it in
        global  KiTrampolineGdtBase, KiTrampolineEntry ; and adds the page's address to these

        section .rodata             ; never run in place
        align   16
KiTrampoline:
        bits    16
        cli
        cld
        mov     ax, cs
        mov     ds, ax              ; offsets below are relative to the page; there is no stack yet, and none is used
        mov     eax, CR4_START
        mov     cr4, eax
        mov     eax, [KiTrampolineCr3 - KiTrampoline]
        mov     cr3, eax
        mov     ecx, MSR_EFER
        rdmsr
        or      eax, EFER_LME | EFER_NXE
        wrmsr
o32     lgdt    [GdtPointer - KiTrampoline]
        mov     eax, CR0_START
        mov     cr0, eax            ; real mode to long mode; CS still says 16 bits
o32     jmp     far [KiTrampolineEntry - KiTrampoline]

        bits    64
LongMode:
        mov     eax, SELECTOR_KERNEL_DATA
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        xor     eax, eax
        mov     fs, eax
        mov     gs, eax
        xor     edi, edi
        mov     rax, KiTrampolineMailbox
        xchg    rdi, [rax]          ; the CPU that finds a PCR here owns it
        test    rdi, rdi
        jz      .Park
        mov     rax, [rdi + PCR_CURRENT_THREAD]
        mov     rsp, [rax + THREAD_STACK_BASE] ; the idle thread's stack
        xor     ebp, ebp            ; the chain of frames ends here: no return address, and above it two words for a
        push    rbp                 ; debugger that looks for one more frame
        push    rbp
        push    rbp
        mov     rax, KiProcessorStartup
        jmp     rax                 ; KiProcessorStartup(Pcr)
.Park:  cli
        hlt
        jmp     .Park

        align   8
Gdt:    dq      0, 0
        dq      0x00AF9B000000FFFF  ; 10h: code, 64-bit
        dq      0x00CF93000000FFFF  ; 18h: data
GdtPointer:
        dw      GdtPointer - Gdt - 1
KiTrampolineGdtBase:
        dd      Gdt - KiTrampoline
KiTrampolineEntry:
        dd      LongMode - KiTrampoline
        dw      SELECTOR_KERNEL_CODE
        align   4
KiTrampolineCr3:
        dd      0
KiTrampolineEnd:
