/* bugtable.c: bugcodes.def as data: the rows, the meaning of their parameters, the names of values. */
#include <bugreport.h>

#define BUGCODE(Code, Name, K1, T1, K2, T2, K3, T3, K4, T4, Why, Fix) \
    {Code, #Name, {Kind##K1, Kind##K2, Kind##K3, Kind##K4}, {T1, T2, T3, T4}, Why, Fix},
static const BUG_CODE Codes[] = {
#include <bugcodes.def>
};
#undef BUGCODE

typedef struct _BUG_SUBCODE {
    ULONG Code;
    ULONG64 Value; /* of P1 */
    PCSTR Name;
    UCHAR Kind[3];
    PCSTR Meaning[3];
} BUG_SUBCODE;

#define BUGCODE(...)
#define BUGSUBCODE(Code, Value, Name, K2, T2, K3, T3, K4, T4) \
    {Code, Value, Name, {Kind##K2, Kind##K3, Kind##K4}, {T2, T3, T4}},
static const BUG_SUBCODE Subcodes[] = {
#include <bugcodes.def>
};

typedef struct _BUG_VALUE {
    ULONG Code;
    ULONG Number; /* of the parameter, from 1 */
    ULONG64 Value;
    PCSTR Name;
} BUG_VALUE;

#define BUGVALUE(Code, Number, Value, Name) {Code, Number, Value, Name},
static const BUG_VALUE Values[] = {
#include <bugcodes.def>
};

static const BUG_CODE UnknownCode = {0,
                                     "(no name)",
                                     {KindADDRESS, KindADDRESS, KindADDRESS, KindADDRESS},
                                     {"", "", "", ""},
                                     "The code is not one of the kernel's: a driver chose it.",
                                     "See the driver's own documentation for this code."};

const BUG_CODE *KiFindBugCode(ULONG Code) {
    for (ULONG i = 0; i < RTL_NUMBER_OF(Codes); i++) {
        if (Codes[i].Code == Code) {
            return &Codes[i];
        }
    }
    return &UnknownCode;
}

static const BUG_SUBCODE *FindSubcode(VOID) {
    for (ULONG i = 0; i < RTL_NUMBER_OF(Subcodes); i++) {
        if (Subcodes[i].Code == KiBug.Code && Subcodes[i].Value == KiBug.Parameter[0]) {
            return &Subcodes[i];
        }
    }
    return NULL;
}

BUG_KIND KiParameterKind(ULONG Index, PCSTR *Meaning) {
    const BUG_SUBCODE *Subcode = FindSubcode();
    if (Subcode && Index > 0) {
        *Meaning = Subcode->Meaning[Index - 1];
        return Subcode->Kind[Index - 1];
    }
    const BUG_CODE *Row = KiFindBugCode(KiBug.Code);
    *Meaning = Row->Meaning[Index];
    return Subcode ? KindPLAIN : Row->Kind[Index];
}

PCSTR KiParameterValueName(ULONG Index) {
    const BUG_SUBCODE *Subcode = FindSubcode();
    if (Index == 0 && Subcode) {
        return Subcode->Name;
    }
    for (ULONG i = 0; i < RTL_NUMBER_OF(Values); i++) {
        const BUG_VALUE *Row = &Values[i];
        if (Row->Code == KiBug.Code && Row->Number == Index + 1 && Row->Value == KiBug.Parameter[Index]) {
            return Row->Name;
        }
    }
    return NULL;
}
