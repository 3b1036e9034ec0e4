/* verifierservice.c: thunks of the Zw calls, system services for PASSIVE_LEVEL with special APCs enabled.
 *
 * One check serves them all, so each thunk keeps the arguments where they are and jumps on to the service. Below, for
 * ZwClose (a service that this kernel lacks stays unresolved, and no driver can import it):
 *
 *      push rbp; mov rbp, rsp          the chain of frames stays whole
 *      push rdi ... r9                 the register arguments
 *      mov rdi, [rbp + 8]              the driver's return address
 *      call VfCheckService
 *      pop r9 ... rdi; pop rbp; jmp ZwClose                                                                   */
#include "vf.h"

VOID VfCheckService(PVOID Caller); /* called from the thunks alone */

/* 0xC4 (0xE6, address in the driver, IRQL, special-APC-disable count). */
VOID VfCheckService(PVOID Caller) {
    KIRQL Irql = KiCurrentIrql();
    if (VfHas(VF_IRQL) && (Irql != PASSIVE_LEVEL || KiCurrentThread()->SpecialApcDisable != 0)) {
        VF_STOP(0xE6, Caller, Irql, (LONG_PTR)KiCurrentThread()->SpecialApcDisable);
    }
}

/* The services; the same list makes the thunks and the table. */
#define SERVICES(Row)                                                                                                 \
    Row(ZwClose) Row(ZwCreateFile) Row(ZwOpenFile) Row(ZwReadFile) Row(ZwWriteFile) Row(ZwQueryInformationFile)       \
        Row(ZwSetInformationFile) Row(ZwQueryDirectoryFile) Row(ZwQueryVolumeInformationFile) Row(ZwFlushBuffersFile) \
            Row(ZwDeleteFile) Row(ZwQueryFullAttributesFile) Row(ZwDeviceIoControlFile) Row(ZwFsControlFile)          \
                Row(ZwCreateEvent) Row(ZwOpenEvent) Row(ZwSetEvent) Row(ZwResetEvent) Row(ZwClearEvent)               \
                    Row(ZwWaitForSingleObject) Row(ZwCreateDirectoryObject) Row(ZwOpenDirectoryObject)                \
                        Row(ZwCreateSymbolicLinkObject) Row(ZwOpenSymbolicLinkObject) Row(ZwQuerySymbolicLinkObject)  \
                            Row(ZwMakeTemporaryObject)

#define THUNK(Service)                                                                                            \
    extern const UCHAR Vf##Service[];                                                                             \
    __asm__(".text\n.cfi_sections .debug_frame\n.weak " #Service "\n.type Vf" #Service ", @function\nVf" #Service \
            ":\n.cfi_startproc\n"                                                                                 \
            "push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset %rbp, -16\n"                                          \
            "mov %rsp, %rbp\n.cfi_def_cfa_register %rbp\n"                                                        \
            "push %rdi\npush %rsi\npush %rdx\npush %rcx\npush %r8\npush %r9\n"                                    \
            "mov 8(%rbp), %rdi\ncall VfCheckService\n"                                                            \
            "pop %r9\npop %r8\npop %rcx\npop %rdx\npop %rsi\npop %rdi\n"                                          \
            "pop %rbp\n.cfi_def_cfa %rsp, 8\n.cfi_restore %rbp\njmp " #Service "\n.cfi_endproc\n"                 \
            ".size Vf" #Service ", . - Vf" #Service "\n");
SERVICES(THUNK)

#define ROW(Service) {#Service, Vf##Service},
const VF_THUNK VfServiceThunks[] = {SERVICES(ROW){NULL, NULL}};
