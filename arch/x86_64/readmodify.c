/* readmodify.c: read-modify-write faults reported as writes, as a processor does and an emulator may not.
 *
 * `add [p], 1`, `lock xadd`, `bts`: a processor asks for the right to write before it reads, and its error code says
 * "write". QEMU's TCG runs such an instruction as a load and a store, and the load faults first: "read". The blue
 * screen should say what Windows would say of the same instruction, so the instruction is looked at again. */
#include "hal.h"
#include <mm.h>
#include <pagefault.h>
#include <ring.h>

/* The next byte of an instruction that has just run; a nop where its page is no longer there. */
static UCHAR Next(const UCHAR **At) {
    const UCHAR *Byte = (*At)++;
    return MmIsAddressValid((PVOID)Byte) ? *(volatile const UCHAR *)Byte : 0x90;
}

static BOOLEAN IsPrefix(UCHAR Byte) {
    return (Byte & 0xF0) == 0x40 || (Byte & 0xFE) == 0x66 || (Byte & 0xFE) == 0xF2 || Byte == 0xF0 ||
           (Byte & 0xFE) == 0x64 || (Byte & 0xE7) == 0x26;
}

/* Behind 0F. Register: the field of the ModRM byte, which belongs to some opcodes. */
static BOOLEAN DoesLongOpcodeModify(UCHAR Opcode, ULONG Register) {
    switch (Opcode) {
    case 0xA4: /* shld, shrd */
    case 0xA5:
    case 0xAC:
    case 0xAD:
    case 0xAB: /* bts, btr, btc */
    case 0xB3:
    case 0xBB:
    case 0xB0: /* cmpxchg, xadd */
    case 0xB1:
    case 0xC0:
    case 0xC1:
        return TRUE;
    case 0xBA: /* bt is /4 and only reads */
        return Register >= 5;
    case 0xC7: /* cmpxchg8b, cmpxchg16b */
        return Register == 1;
    default:
        return FALSE;
    }
}

static BOOLEAN DoesOpcodeModify(UCHAR Opcode, ULONG Register) {
    if (Opcode < 0x40) { /* add, or, adc, sbb, and, sub, xor into memory; cmp only reads */
        return (Opcode & 7) < 2 && Opcode < 0x38;
    }
    switch (Opcode) {
    case 0x80: /* the same with a constant */
    case 0x81:
    case 0x83:
        return Register != 7;
    case 0x86: /* xchg */
    case 0x87:
    case 0xC0: /* rotations and shifts */
    case 0xC1:
    case 0xD0:
    case 0xD1:
    case 0xD2:
    case 0xD3:
        return TRUE;
    case 0xF6: /* not, neg */
    case 0xF7:
        return Register == 2 || Register == 3;
    case 0xFE: /* inc, dec */
    case 0xFF:
        return Register < 2;
    default:
        return FALSE;
    }
}

/* Sets the write bit of a page fault's error code where the instruction would have written too. Any IRQL, once for a fault
 * that is not survived. */
static VOID CorrectErrorCode(PKTRAP_FRAME Frame) {
    const UCHAR *At = (const UCHAR *)Frame->Rip;
    if (Frame->ErrorCode & (FAULT_WRITE | FAULT_FETCH)) {
        return;
    }
    UCHAR Opcode = Next(&At);
    while (IsPrefix(Opcode)) {
        Opcode = Next(&At);
    }
    BOOLEAN IsLong = Opcode == 0x0F;
    if (IsLong) {
        Opcode = Next(&At);
    }
    UCHAR ModRm = Next(&At);
    ULONG Register = ModRm >> 3 & 7;
    BOOLEAN IsMemory = ModRm < 0xC0;
    if (IsMemory && (IsLong ? DoesLongOpcodeModify(Opcode, Register) : DoesOpcodeModify(Opcode, Register))) {
        Frame->ErrorCode |= FAULT_WRITE;
    }
}

KE_ATTACH(KiErrorCodeHook, CorrectErrorCode);
