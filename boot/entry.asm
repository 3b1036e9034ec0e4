; entry.asm: from a boot loader's 32-bit world into C in the high half, W^X from the first instruction.
;
; Both protocols enter in 32-bit protected mode, paging off, flat segments, ebx = physical address of their information:
;   multiboot2 (GRUB)      at BootEntryMultiboot2, eax = its magic
;   PVH (qemu -kernel)     at BootEntryPvh; the magic is the first word of the information
;
; The first page tables, all in .boot.tables, stay in use for the life of the kernel:
;   PML4[0x000]  identity map of the low 4 GiB in 2 MiB pages, RW + NX, the first 2 MiB in 4 KiB pages so that only this
;                file's code is executable (and read-only). For boot information, ACPI tables, the archive, and the
;                start of the other CPUs; MmReleaseBootMemory drops it.
;   PML4[0x1ED]  the PML4 itself: all page tables appear at MM_PTE_BASE.
;   PML4[0x1FF]  the kernel image at KERNEL_BASE, 4 KiB pages: text RX, read-only data R + NX, data RW + NX; the pages
;                below the boot stacks stay unmapped (guard pages).

PTE_VALID       equ 0x001
PTE_WRITE       equ 0x002
PTE_LARGE       equ 0x080
PTE_GLOBAL      equ 0x100
PTE_NX_HIGH     equ 0x80000000      ; bit 63, as a bit of the upper dword

SELF_MAP_SLOT   equ 0x1ED
KERNEL_SLOT     equ 0x1FF           ; of the PML4; in the PDPT below it the image has slot 0x1FE
BOOT_KERNEL_TABLES equ 4            ; page tables for the image: 8 MiB (kernel.ld asserts it)

MSR_EFER        equ 0xC0000080
EFER_LME        equ 1 << 8
EFER_NXE        equ 1 << 11
CR0_PE          equ 1 << 0
CR0_WP          equ 1 << 16
CR0_PG          equ 1 << 31
CR4_PAE         equ 1 << 5
CR4_PGE         equ 1 << 7

LACKS_NX        equ 1               ; as in bootinfo.h
LACKS_APIC      equ 2

%include "offsets.inc"

MULTIBOOT2_MAGIC equ 0xE85250D6

        extern  KiSystemStartup, BootRefuseProcessor
        extern  BootStart, BootTextEnd
        extern  KernelTextPhysical, KernelRodataPhysical, KernelDataPhysical, KernelEndPhysical
        global  BootEntryMultiboot2, BootEntryPvh
        global  KiBootStackLimit, KiBootStackTop, KiBootDpcStack
        global  KiBootDoubleFaultStack, KiBootNmiStack, KiBootMachineCheckStack

; ---- Headers for the boot loaders ----------------------------------------------------------------------------------
        section .boot.header progbits alloc noexec nowrite align=8
Multiboot2Header:
        dd      MULTIBOOT2_MAGIC, 0, .End - Multiboot2Header
        dd      -(MULTIBOOT2_MAGIC + 0 + (.End - Multiboot2Header)) & 0xFFFFFFFF
        align   8
        dw      6, 0                ; modules on page boundaries
        dd      8
        align   8
        dw      5, 1                ; a linear framebuffer, if there is one
        dd      20, 1024, 768, 32
        align   8
        dw      0, 0
        dd      8
.End:

        section .note.pvh note alloc noexec nowrite align=4
        dd      4, 4, 18            ; XEN_ELFNOTE_PHYS32_ENTRY
        db      "Xen", 0
        dd      BootEntryPvh

; ---- Memory --------------------------------------------------------------------------------------------------------
        section .boot.tables nobits alloc noexec write align=4096
BootTables:
Pml4:           resb    4096
IdentityPdpt:   resb    4096
IdentityPds:    resb    4096 * 4
IdentityPt:     resb    4096
KernelPdpt:     resb    4096
KernelPd:       resb    4096
KernelPts:      resb    4096 * BOOT_KERNEL_TABLES
BootTablesEnd:

; The boot CPU's stacks. Each has a page below it that entry.asm leaves unmapped.
        section .stacks nobits alloc noexec write align=4096
GuardBoot:      resb    4096
KiBootStackLimit:
                resb    KERNEL_STACK_SIZE
KiBootStackTop:
GuardDpc:       resb    4096 * 2        ; as many as below other stacks that drivers run on: mm/stacks.c
                resb    DPC_STACK_SIZE
KiBootDpcStack:
GuardDoubleFault: resb  4096
                resb    IST_STACK_SIZE
KiBootDoubleFaultStack:
GuardNmi:       resb    4096
                resb    IST_STACK_SIZE
KiBootNmiStack:
GuardMachineCheck: resb 4096
                resb    IST_STACK_SIZE
KiBootMachineCheckStack:

; ---- Code ----------------------------------------------------------------------------------------------------------
        section .boot.text progbits alloc exec nowrite align=16
        bits    32
BootEntryPvh:
        mov     eax, [ebx]
BootEntryMultiboot2:
        cli
        cld
        mov     [Registers], eax    ; paging is off: this page can still be written
        mov     [Registers + 4], ebx
        mov     esp, StackPhysical
        call    CheckProcessor
        call    BuildTables
        jmp     EnterLongMode

; Finds out whether the CPU can run the kernel. With long mode, but without NX or a local APIC, it can at least run the
; C code that says so on the screen.
CheckProcessor:
        pushfd                      ; CPUID exists where EFLAGS.ID can be changed
        pop     eax
        mov     ecx, eax
        xor     eax, 1 << 21
        push    eax
        popfd
        pushfd
        pop     eax
        cmp     eax, ecx
        mov     esi, TextNoLongMode
        je      Stop
        mov     eax, 0x80000000
        cpuid
        cmp     eax, 0x80000001
        jb      Stop
        mov     eax, 0x80000001
        cpuid
        bt      edx, 29             ; LM
        jnc     Stop
        mov     dword [Lacks], LACKS_NX
        bt      edx, 20             ; NX
        jnc     .Done
        mov     dword [NxHigh], PTE_NX_HIGH
        mov     dword [Lacks], LACKS_APIC
        mov     eax, 1
        cpuid
        bt      edx, 9              ; APIC
        jnc     .Done
        mov     dword [Lacks], 0
.Done:  ret

; Without long mode there is no C either: writes the line at esi to COM1 and to the VGA text screen, and stops.
Stop:
        mov     edi, 0xB8000
.Next:  lodsb
        test    al, al
        jz      .Halt
        mov     ah, 0x1F
        cmp     al, 0x0A
        jbe     .Serial
        mov     [edi], ax
        add     edi, 2
.Serial:
        mov     bl, al
        mov     ecx, 100000         ; polls; a missing UART reads as 0xFF: ready
        mov     dx, 0x3FD
.Wait:  in      al, dx
        test    al, 0x20
        loopz   .Wait
        mov     al, bl
        mov     dx, 0x3F8
        out     dx, al
        jmp     .Next
.Halt:  mov     al, 0x11            ; QEMU's debug exit (arch/x86_64/halt.c): ended, not as expected
        out     0xF4, al
.Stay:  hlt
        jmp     .Stay

BuildTables:
        xor     eax, eax
        mov     edi, BootTables
        mov     ecx, (BootTablesEnd - BootTables) / 4
        rep stosd

        mov     dword [Pml4], IdentityPdpt + (PTE_VALID | PTE_WRITE)
        mov     dword [Pml4 + 8 * SELF_MAP_SLOT], Pml4 + (PTE_VALID | PTE_WRITE)
        mov     eax, [NxHigh]
        mov     [Pml4 + 8 * SELF_MAP_SLOT + 4], eax
        mov     dword [Pml4 + 8 * KERNEL_SLOT], KernelPdpt + (PTE_VALID | PTE_WRITE)
        mov     dword [KernelPdpt + 8 * 0x1FE], KernelPd + (PTE_VALID | PTE_WRITE)

        mov     edi, IdentityPdpt   ; four page directories of 1 GiB each
        mov     eax, IdentityPds + (PTE_VALID | PTE_WRITE)
        mov     ecx, 4
        call    FillTables
        mov     edi, KernelPd
        mov     eax, KernelPts + (PTE_VALID | PTE_WRITE)
        mov     ecx, BOOT_KERNEL_TABLES
        call    FillTables

        mov     edi, IdentityPds    ; 2048 pages of 2 MiB
        mov     eax, PTE_VALID | PTE_WRITE | PTE_LARGE
        mov     ecx, 2048
        mov     edx, [NxHigh]
.Large: mov     [edi], eax
        mov     [edi + 4], edx
        add     edi, 8
        add     eax, 0x200000
        loop    .Large
        mov     dword [IdentityPds], IdentityPt + (PTE_VALID | PTE_WRITE)
        mov     dword [IdentityPds + 4], 0

        mov     esi, Ranges
.Range: mov     edi, [esi]          ; first page table
        mov     eax, [esi + 4]      ; from
        mov     ecx, [esi + 8]      ; to
        call    MapRange
        add     esi, 20
        cmp     esi, RangesEnd
        jb      .Range

        mov     ecx, (GuardsEnd - Guards) / 4
.Guard: mov     eax, [Guards + ecx * 4 - 4]
        shr     eax, 9              ; >> 12 for the page, << 3 for its entry
        mov     dword [KernelPts + eax], 0
        mov     dword [KernelPts + eax + 4], 0
        loop    .Guard
        ret

; ecx entries at edi: eax, eax + 4096, ...
FillTables:
        mov     [edi], eax
        add     edi, 8
        add     eax, 4096
        loop    FillTables
        ret

; Maps the pages eax..ecx-1 in the tables at edi with the flags in the row esi of Ranges.
MapRange:
        mov     edx, eax
        shr     edx, 9
        add     edi, edx
        mov     edx, [esi + 16]     ; upper half of each entry
        and     edx, [NxHigh]       ; a bit that is reserved where there is no NX
.Next:  cmp     eax, ecx
        jae     .Done
        mov     ebp, eax
        or      ebp, [esi + 12]
        mov     [edi], ebp
        mov     [edi + 4], edx
        add     edi, 8
        add     eax, 4096
        jmp     .Next
.Done:  ret

EnterLongMode:
        mov     eax, cr4
        or      eax, CR4_PAE | CR4_PGE
        mov     cr4, eax
        mov     eax, Pml4
        mov     cr3, eax
        mov     ecx, MSR_EFER
        rdmsr
        or      eax, EFER_LME
        cmp     dword [NxHigh], 0
        je      .NoNx
        or      eax, EFER_NXE
.NoNx:  wrmsr
        lgdt    [BootGdtPointer]
        mov     edi, [Registers]    ; KiSystemStartup's arguments; the upper halves become zero
        mov     esi, [Registers + 4]
        mov     edx, [Lacks]
        mov     eax, cr0
        or      eax, CR0_PE | CR0_PG | CR0_WP
        mov     cr0, eax
        jmp     0x10:LongMode

        bits    64
LongMode:
        mov     eax, 0x18
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        xor     eax, eax
        mov     fs, eax
        mov     gs, eax
        mov     rsp, KiBootStackTop
        xor     ebp, ebp            ; the chain of frames ends here
        push    rbp
        mov     rax, KiSystemStartup
        mov     rcx, BootRefuseProcessor
        test    edx, edx
        cmovnz  rax, rcx
        jmp     rax                 ; (Magic, Information), (Magic, Information, Lacks)

        align   8
BootGdt:                            ; the selectors of arch.h
        dq      0, 0
        dq      0x00AF9B000000FFFF  ; 0x10: code, 64-bit
        dq      0x00CF93000000FFFF  ; 0x18: data
BootGdtPointer:
        dw      BootGdtPointer - BootGdt - 1
        dd      BootGdt
Registers:
        dd      0, 0
Lacks:  dd      0                   ; LACKS_*
NxHigh: dd      0                   ; PTE_NX_HIGH where the CPU has NX

; page tables, from, to, flags of the lower and the upper half of each entry
Ranges:
        dd      IdentityPt, 0, 0x200000, PTE_VALID | PTE_WRITE, PTE_NX_HIGH
        dd      IdentityPt, BootStart, BootTextEnd, PTE_VALID, 0
        dd      KernelPts, KernelTextPhysical, KernelRodataPhysical, PTE_VALID | PTE_GLOBAL, 0
        dd      KernelPts, KernelRodataPhysical, KernelDataPhysical, PTE_VALID | PTE_GLOBAL, PTE_NX_HIGH
        dd      KernelPts, KernelDataPhysical, KernelEndPhysical, PTE_VALID | PTE_WRITE | PTE_GLOBAL, PTE_NX_HIGH
RangesEnd:
        extern  GuardBootPhysical, GuardDpcPhysical, GuardDoubleFaultPhysical, GuardNmiPhysical
        extern  GuardMachineCheckPhysical, StackPhysical
        global  GuardBoot, GuardDpc, GuardDoubleFault, GuardNmi, GuardMachineCheck
Guards: dd      GuardBootPhysical, GuardDpcPhysical, GuardDpcPhysical + 4096, GuardDoubleFaultPhysical, GuardNmiPhysical
        dd      GuardMachineCheckPhysical
GuardsEnd:

TextNoLongMode: db "Bugcheck needs a 64-bit CPU: this one has no long mode.", 13, 10, 0
