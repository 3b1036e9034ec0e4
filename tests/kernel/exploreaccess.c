/* exploreaccess.c: the memory that the next instruction of a context touches, from its bytes and the context's registers.
 *
 * The explorer asks which instructions of two contexts can notice each other. Reads and writes are not told apart, and what is
 * not in the tables below touches everything: in doubt, a schedule more is tried. */
#include "explore-private.h"

#define REX_FIRST 0x40
#define REX_LAST 0x4F
#define REX_B 1
#define REX_X 2
#define OPERAND_SIZE 0x66
#define LOCK 0xF0
#define GS_SEGMENT 0x65
#define REPEAT 0xF3
#define PAUSE 0x90
#define TWO_BYTES 0x0F
#define LONGEST_ACCESS 16
#define USUAL_ACCESS 8

typedef enum _OPERANDS { NoMemory, ModRm, TheStack, Everything } OPERANDS;

typedef struct _OPCODES { /* Intel: "One-byte Opcode Map", "Two-byte Opcode Map" */
    UCHAR First, Last;
    UCHAR Operands;
    UCHAR Constant; /* bytes of a constant at the end */
} OPCODES;

static const OPCODES OneByte[] = {
    {0x50, 0x5F, TheStack, 0}, {0x63, 0x63, ModRm, 0},    {0x68, 0x68, TheStack, 4}, {0x69, 0x69, ModRm, 4},
    {0x6A, 0x6A, TheStack, 1}, {0x6B, 0x6B, ModRm, 1},    {0x70, 0x7F, NoMemory, 1}, {0x80, 0x80, ModRm, 1},
    {0x81, 0x81, ModRm, 4},    {0x83, 0x83, ModRm, 1},    {0x84, 0x8B, ModRm, 0},    {0x8D, 0x8D, NoMemory, 0},
    {0x90, 0x90, NoMemory, 0}, {0x98, 0x99, NoMemory, 0}, {0x9C, 0x9D, TheStack, 0}, {0xA8, 0xA9, NoMemory, 0},
    {0xB0, 0xBF, NoMemory, 0}, {0xC0, 0xC1, ModRm, 1},    {0xC3, 0xC3, TheStack, 0}, {0xC6, 0xC6, ModRm, 1},
    {0xC7, 0xC7, ModRm, 4},    {0xD0, 0xD3, ModRm, 0},    {0xE8, 0xE8, TheStack, 0}, {0xE9, 0xE9, NoMemory, 0},
    {0xEB, 0xEB, NoMemory, 0}, {0xF6, 0xF7, ModRm, 0},    {0xFE, 0xFF, ModRm, 0}};
/* RDTSC is no access: nothing depends on what time it is. */
static const OPCODES TwoByte[] = {{0x1F, 0x1F, NoMemory, 0}, {0x31, 0x31, NoMemory, 0}, {0x40, 0x4F, ModRm, 0},
                                  {0x80, 0x8F, NoMemory, 0}, {0x90, 0x9F, ModRm, 0},    {0xAF, 0xAF, ModRm, 0},
                                  {0xB0, 0xB1, ModRm, 0},    {0xB6, 0xB7, ModRm, 0},    {0xBA, 0xBA, ModRm, 1},
                                  {0xBE, 0xBF, ModRm, 0},    {0xC0, 0xC1, ModRm, 0},    {0xC7, 0xC7, ModRm, 0}};

typedef struct _DECODED {
    const UCHAR *Code; /* behind the prefixes and the opcode: the ModRM byte, if there is one */
    UCHAR Rex;
    UCHAR Opcode;
    BOOLEAN IsTwoByte, IsGs, IsShort;
} DECODED;

static DECODED Decode(const UCHAR *Code) {
    DECODED Found = {0};
    for (; *Code == OPERAND_SIZE || *Code == LOCK || *Code == GS_SEGMENT; Code++) {
        Found.IsGs |= *Code == GS_SEGMENT;
        Found.IsShort |= *Code == OPERAND_SIZE;
    }
    if (*Code >= REX_FIRST && *Code <= REX_LAST) {
        Found.Rex = *Code++;
    }
    Found.IsTwoByte = *Code == TWO_BYTES;
    Code += Found.IsTwoByte;
    Found.Opcode = *Code;
    Found.Code = Code + 1;
    return Found;
}

static BOOLEAN HasRegister(const UCHAR *ModRmByte) {
    return *ModRmByte >= 0xC0;
}

static ULONG OperationOf(const UCHAR *ModRmByte) {
    return *ModRmByte >> 3 & 7;
}

/* The arithmetic below 40h: eight operations, each in four forms with a ModRM byte and two with a constant. */
static OPCODES ArithmeticOf(UCHAR Opcode) {
    ULONG Form = Opcode & 7;
    return (OPCODES){Opcode, Opcode, Form < 4 ? ModRm : Form < 6 ? NoMemory : Everything, 0};
}

static OPCODES RowOf(const DECODED *Found) {
    const OPCODES *Table = Found->IsTwoByte ? TwoByte : OneByte;
    ULONG Count = Found->IsTwoByte ? RTL_NUMBER_OF(TwoByte) : RTL_NUMBER_OF(OneByte);
    if (!Found->IsTwoByte && Found->Opcode < REX_FIRST) {
        return ArithmeticOf(Found->Opcode);
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        if (Found->Opcode >= Table[Index].First && Found->Opcode <= Table[Index].Last) {
            return Table[Index];
        }
    }
    return (OPCODES){0, 0, Everything, 0};
}

/* What the operation in the ModRM byte changes about its row: FFh calls and pushes, F6h and F7h may have a constant. `mov` from
 * and to CR8 is the IRQL. (Or CR0, which nothing that is explored changes; CR3 and CR4 flush TLBs.) */
static VOID RefineRow(const DECODED *Found, OPCODES *Row) {
    ULONG Operation = OperationOf(Found->Code);
    if (Found->IsTwoByte) {
        if ((Found->Opcode == 0x20 || Found->Opcode == 0x22) && Operation == 0) {
            Row->Operands = NoMemory;
        }
    } else if (Found->Opcode == 0xFF && (Operation == 2 || Operation == 6)) {
        Row->Operands = HasRegister(Found->Code) ? TheStack : Everything;
    } else if ((Found->Opcode == 0xF6 || Found->Opcode == 0xF7) && Operation < 2) {
        Row->Constant = Found->Opcode == 0xF6 ? 1 : 4;
    }
    if (Found->IsShort && Row->Constant == 4) {
        Row->Constant = 2;
    }
}

/* Intel: "32-Bit Addressing Forms with the ModR/M Byte"; the order of the registers in a frame is exploreturn.asm's. */
static ULONG64 RegisterOf(const FRAME *Frame, ULONG Number) {
    static const UCHAR Places[16] = {14, 13, 12, 11, 0, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
    return Number == 4 ? Frame->Rsp : Frame->Registers[Places[Number]];
}

static LONG64 ReadDisplacement(const UCHAR *Code, ULONG Bytes) {
    LONG Long;
    memcpy(&Long, Code, sizeof(Long));
    return Bytes == 4 ? Long : Bytes == 1 ? (CHAR)*Code : 0;
}

static ULONG64 AddressOf(const DECODED *Found, const FRAME *Frame, ULONG Constant) {
    const UCHAR *Code = Found->Code;
    ULONG Mode = *Code >> 6, Base = *Code & 7, Bytes = Mode == 1 ? 1 : Mode == 2 ? 4 : 0;
    ULONG64 Address = 0;
    Code++;
    if (Mode == 0 && Base == 5) { /* relative to the next instruction */
        return (ULONG64)Code + 4 + Constant + (ULONG64)ReadDisplacement(Code, 4);
    }
    if (Base == 4) {
        ULONG Index = (*Code >> 3 & 7) | (Found->Rex & REX_X ? 8 : 0);
        Address = Index == 4 ? 0 : RegisterOf(Frame, Index) << (*Code >> 6);
        Base = *Code++ & 7;
        if (Mode == 0 && Base == 5) {
            return Address + (ULONG64)ReadDisplacement(Code, 4);
        }
    }
    Address += RegisterOf(Frame, Base | (Found->Rex & REX_B ? 8 : 0));
    return Address + (ULONG64)ReadDisplacement(Code, Bytes);
}

KT_ACCESS KtAccessOf(const FRAME *Frame, PKPCR Pcr) {
    const UCHAR *Code = (const UCHAR *)Frame->Rip;
    if (Code[0] == REPEAT && Code[1] == PAUSE) {
        return (KT_ACCESS){0, 0};
    }
    DECODED Found = Decode(Code);
    OPCODES Row = RowOf(&Found);
    RefineRow(&Found, &Row);
    if (!Found.IsTwoByte && Found.Opcode == 0xC9) { /* leave */
        return (KT_ACCESS){RegisterOf(Frame, 5), USUAL_ACCESS};
    }
    switch (Row.Operands) {
    case ModRm:
        if (!HasRegister(Found.Code)) {
            ULONG64 Address = AddressOf(&Found, Frame, Row.Constant) + (Found.IsGs ? (ULONG64)Pcr : 0);
            return (KT_ACCESS){Address, Found.IsTwoByte && Found.Opcode == 0xC7 ? LONGEST_ACCESS : USUAL_ACCESS};
        }
        return (KT_ACCESS){0, 0};
    case NoMemory:
        return (KT_ACCESS){0, 0};
    case TheStack:
        return (KT_ACCESS){Frame->Rsp - USUAL_ACCESS, 2 * USUAL_ACCESS};
    default:
        return (KT_ACCESS){0, KT_EVERYTHING};
    }
}
