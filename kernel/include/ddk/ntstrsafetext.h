/* ntstrsafetext.h: one width of the RtlStringCch and RtlStringCb families, included for A and for W.
 *
 * SAFE_CHAR is the character, SAFE(Name) the name with its letter, SAFE_FORMAT the counted printing call. */

/* As much of Source as fits behind Destination[Used], at most Limit characters, terminated; Used moves on. */
static FORCEINLINE NTSTATUS SAFE(RtlSafeAppend)(SAFE_CHAR *Destination, size_t Cch, size_t *Used,
                                                const SAFE_CHAR *Source, size_t Limit) {
    size_t i = 0;
    for (; i < Limit && Source[i] != 0; i++) {
        if (*Used == Cch - 1) {
            Destination[*Used] = 0;
            return STATUS_BUFFER_OVERFLOW;
        }
        Destination[(*Used)++] = Source[i];
    }
    Destination[*Used] = 0;
    return STATUS_SUCCESS;
}

/* Whether an Ex call may go on: STATUS_INVALID_PARAMETER without room, except that STRSAFE_IGNORE_NULLS allows a
 * destination that is NULL and has none. */
static FORCEINLINE NTSTATUS SAFE(RtlSafeCheck)(const SAFE_CHAR *Destination, size_t Cch, ULONG Flags) {
    BOOLEAN IsGood = Cch <= NTSTRSAFE_MAX_CCH && (Flags & ~(ULONG)STRSAFE_VALID_FLAGS) == 0 &&
                     (Flags & STRSAFE_IGNORE_NULLS ? Destination != NULL || Cch == 0 : Cch != 0);
    return IsGood ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

/* Without any room: an empty text is there, another is not. */
static FORCEINLINE NTSTATUS SAFE(RtlSafeNoRoom)(const SAFE_CHAR *Destination, const SAFE_CHAR *Text) {
    return Text[0] == 0 ? STATUS_SUCCESS : Destination == NULL ? STATUS_INVALID_PARAMETER : STATUS_BUFFER_OVERFLOW;
}

/* The work that the flags of an Ex call ask for afterwards, in NT's order, and the end of the text. Before: the
 * characters that were there already. */
static FORCEINLINE NTSTATUS SAFE(RtlSafeFinish)(NTSTATUS Status, SAFE_CHAR *Destination, size_t Cch, size_t Before,
                                                size_t Used, SAFE_CHAR **End, size_t *Remaining, ULONG Flags) {
    if (!NT_SUCCESS(Status) && Cch != 0 && Destination != NULL) {
        if ((Flags & STRSAFE_NO_TRUNCATION) && Status == STATUS_BUFFER_OVERFLOW) {
            Destination[Used = Before] = 0;
        }
        if (Flags & STRSAFE_FILL_ON_FAILURE) {
            memset(Destination, (int)(Flags & 0xFF), Cch * sizeof(SAFE_CHAR));
            Used = (Flags & 0xFF) == 0 ? 0 : Cch - 1;
            Destination[Used] = 0;
        }
        if (Flags & STRSAFE_NULL_ON_FAILURE) {
            Destination[Used = 0] = 0;
        }
    } else if (NT_SUCCESS(Status) && (Flags & STRSAFE_FILL_BEHIND_NULL) && Cch > Used + 1) {
        memset(Destination + Used + 1, (int)(Flags & 0xFF), (Cch - Used - 1) * sizeof(SAFE_CHAR));
    }
    if (NT_SUCCESS(Status) || Status == STATUS_BUFFER_OVERFLOW) {
        if (End != NULL) {
            *End = Destination + Used;
        }
        if (Remaining != NULL) {
            *Remaining = Cch - Used;
        }
    }
    return Status;
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCchLength)(const SAFE_CHAR *String, size_t Cch, size_t *Length) {
    size_t Count = 0;
    while (String != NULL && Cch <= NTSTRSAFE_MAX_CCH && Count < Cch && String[Count] != 0) {
        Count++;
    }
    BOOLEAN IsGood = String != NULL && Cch <= NTSTRSAFE_MAX_CCH && Count < Cch;
    if (Length != NULL) {
        *Length = IsGood ? Count : 0;
    }
    return IsGood ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCbLength)(const SAFE_CHAR *String, size_t Cb, size_t *LengthBytes) {
    NTSTATUS Status = SAFE(RtlStringCchLength)(String, Cb / sizeof(SAFE_CHAR), LengthBytes);
    if (LengthBytes != NULL) {
        *LengthBytes *= sizeof(SAFE_CHAR);
    }
    return Status;
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCchCopyNEx)(SAFE_CHAR *Destination, size_t Cch, const SAFE_CHAR *Source,
                                                      size_t Limit, SAFE_CHAR **End, size_t *Remaining, ULONG Flags) {
    static const SAFE_CHAR Empty[1] = {0};
    size_t Used = 0;
    NTSTATUS Status = SAFE(RtlSafeCheck)(Destination, Cch, Flags);
    if (!NT_SUCCESS(Status) || Limit > NTSTRSAFE_MAX_CCH) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Source == NULL && (Flags & STRSAFE_IGNORE_NULLS)) || Limit == 0) {
        Source = Empty;
    }
    Status = Cch == 0 ? SAFE(RtlSafeNoRoom)(Destination, Source)
                      : SAFE(RtlSafeAppend)(Destination, Cch, &Used, Source, Limit);
    return SAFE(RtlSafeFinish)(Status, Destination, Cch, 0, Used, End, Remaining, Flags);
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCchCatNEx)(SAFE_CHAR *Destination, size_t Cch, const SAFE_CHAR *Source,
                                                     size_t Limit, SAFE_CHAR **End, size_t *Remaining, ULONG Flags) {
    static const SAFE_CHAR Empty[1] = {0};
    size_t Used = 0;
    NTSTATUS Status = SAFE(RtlSafeCheck)(Destination, Cch, Flags);
    if (NT_SUCCESS(Status) && Cch != 0) {
        Status = SAFE(RtlStringCchLength)(Destination, Cch, &Used);
    }
    if (!NT_SUCCESS(Status) || Limit > NTSTRSAFE_MAX_CCH) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Source == NULL && (Flags & STRSAFE_IGNORE_NULLS)) || Limit == 0) {
        Source = Empty;
    }
    size_t Before = Used;
    Status = Cch == 0 ? SAFE(RtlSafeNoRoom)(Destination, Source)
                      : SAFE(RtlSafeAppend)(Destination, Cch, &Used, Source, Limit);
    return SAFE(RtlSafeFinish)(Status, Destination, Cch, Before, Used, End, Remaining, Flags);
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCchCopyN)(SAFE_CHAR *Destination, size_t Cch, const SAFE_CHAR *Source,
                                                    size_t Limit) {
    return SAFE(RtlStringCchCopyNEx)(Destination, Cch, Source, Limit, NULL, NULL, 0);
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCchCopy)(SAFE_CHAR *Destination, size_t Cch, const SAFE_CHAR *Source) {
    return SAFE(RtlStringCchCopyNEx)(Destination, Cch, Source, NTSTRSAFE_MAX_CCH, NULL, NULL, 0);
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCchCopyEx)(SAFE_CHAR *Destination, size_t Cch, const SAFE_CHAR *Source,
                                                     SAFE_CHAR **End, size_t *Remaining, ULONG Flags) {
    return SAFE(RtlStringCchCopyNEx)(Destination, Cch, Source, NTSTRSAFE_MAX_CCH, End, Remaining, Flags);
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCchCatN)(SAFE_CHAR *Destination, size_t Cch, const SAFE_CHAR *Source,
                                                   size_t Limit) {
    return SAFE(RtlStringCchCatNEx)(Destination, Cch, Source, Limit, NULL, NULL, 0);
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCchCat)(SAFE_CHAR *Destination, size_t Cch, const SAFE_CHAR *Source) {
    return SAFE(RtlStringCchCatNEx)(Destination, Cch, Source, NTSTRSAFE_MAX_CCH, NULL, NULL, 0);
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCchCatEx)(SAFE_CHAR *Destination, size_t Cch, const SAFE_CHAR *Source,
                                                    SAFE_CHAR **End, size_t *Remaining, ULONG Flags) {
    return SAFE(RtlStringCchCatNEx)(Destination, Cch, Source, NTSTRSAFE_MAX_CCH, End, Remaining, Flags);
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCchVPrintfEx)(SAFE_CHAR *Destination, size_t Cch, SAFE_CHAR **End,
                                                        size_t *Remaining, ULONG Flags, const SAFE_CHAR *Format,
                                                        va_list Arguments) {
    static const SAFE_CHAR Empty[1] = {0};
    NTSTATUS Status = SAFE(RtlSafeCheck)(Destination, Cch, Flags);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Format == NULL && (Flags & STRSAFE_IGNORE_NULLS)) {
        Format = Empty;
    }
    if (Cch == 0) {
        return SAFE(RtlSafeFinish)(SAFE(RtlSafeNoRoom)(Destination, Format), Destination, 0, 0, 0, End, Remaining,
                                   Flags);
    }
    int Length = SAFE_FORMAT(Destination, Cch - 1, Format, Arguments);
    size_t Used = Length < 0 || (size_t)Length > Cch - 1 ? Cch - 1 : (size_t)Length;
    Destination[Used] = 0;
    Status = Length < 0 ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
    return SAFE(RtlSafeFinish)(Status, Destination, Cch, 0, Used, End, Remaining, Flags);
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCchVPrintf)(SAFE_CHAR *Destination, size_t Cch, const SAFE_CHAR *Format,
                                                      va_list Arguments) {
    return SAFE(RtlStringCchVPrintfEx)(Destination, Cch, NULL, NULL, 0, Format, Arguments);
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCbVPrintf)(SAFE_CHAR *Destination, size_t Cb, const SAFE_CHAR *Format,
                                                     va_list Arguments) {
    return SAFE(RtlStringCchVPrintf)(Destination, Cb / sizeof(SAFE_CHAR), Format, Arguments);
}

/* A function with "..." is never inlined, so these are ordinary static ones. */
static __attribute__((unused)) NTSTATUS SAFE(RtlStringCchPrintf)(SAFE_CHAR *Destination, size_t Cch,
                                                                 const SAFE_CHAR *Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    NTSTATUS Status = SAFE(RtlStringCchVPrintf)(Destination, Cch, Format, Arguments);
    va_end(Arguments);
    return Status;
}

static __attribute__((unused)) NTSTATUS SAFE(RtlStringCbPrintf)(SAFE_CHAR *Destination, size_t Cb,
                                                                const SAFE_CHAR *Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    NTSTATUS Status = SAFE(RtlStringCbVPrintf)(Destination, Cb, Format, Arguments);
    va_end(Arguments);
    return Status;
}

static __attribute__((unused)) NTSTATUS SAFE(RtlStringCchPrintfEx)(SAFE_CHAR *Destination, size_t Cch, SAFE_CHAR **End,
                                                                   size_t *Remaining, ULONG Flags,
                                                                   const SAFE_CHAR *Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    NTSTATUS Status = SAFE(RtlStringCchVPrintfEx)(Destination, Cch, End, Remaining, Flags, Format, Arguments);
    va_end(Arguments);
    return Status;
}

/* *RemainingBytes is in bytes. */
static __attribute__((unused)) NTSTATUS SAFE(RtlStringCbPrintfEx)(SAFE_CHAR *Destination, size_t Cb, SAFE_CHAR **End,
                                                                  size_t *RemainingBytes, ULONG Flags,
                                                                  const SAFE_CHAR *Format, ...) {
    va_list Arguments;
    size_t Remaining = 0;
    va_start(Arguments, Format);
    NTSTATUS Status =
        SAFE(RtlStringCchVPrintfEx)(Destination, Cb / sizeof(SAFE_CHAR), End, &Remaining, Flags, Format, Arguments);
    va_end(Arguments);
    if (RemainingBytes != NULL && (NT_SUCCESS(Status) || Status == STATUS_BUFFER_OVERFLOW)) {
        *RemainingBytes = Remaining * sizeof(SAFE_CHAR) + Cb % sizeof(SAFE_CHAR);
    }
    return Status;
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCbCopy)(SAFE_CHAR *Destination, size_t Cb, const SAFE_CHAR *Source) {
    return SAFE(RtlStringCchCopy)(Destination, Cb / sizeof(SAFE_CHAR), Source);
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCbCopyN)(SAFE_CHAR *Destination, size_t Cb, const SAFE_CHAR *Source,
                                                   size_t LimitBytes) {
    return SAFE(RtlStringCchCopyN)(Destination, Cb / sizeof(SAFE_CHAR), Source, LimitBytes / sizeof(SAFE_CHAR));
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCbCopyEx)(SAFE_CHAR *Destination, size_t Cb, const SAFE_CHAR *Source,
                                                    SAFE_CHAR **End, size_t *RemainingBytes, ULONG Flags) {
    size_t Remaining = 0;
    NTSTATUS Status = SAFE(RtlStringCchCopyEx)(Destination, Cb / sizeof(SAFE_CHAR), Source, End, &Remaining, Flags);
    if (RemainingBytes != NULL && Status != STATUS_INVALID_PARAMETER) {
        *RemainingBytes = Remaining * sizeof(SAFE_CHAR) + Cb % sizeof(SAFE_CHAR);
    }
    return Status;
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCbCat)(SAFE_CHAR *Destination, size_t Cb, const SAFE_CHAR *Source) {
    return SAFE(RtlStringCchCat)(Destination, Cb / sizeof(SAFE_CHAR), Source);
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCbCatN)(SAFE_CHAR *Destination, size_t Cb, const SAFE_CHAR *Source,
                                                  size_t LimitBytes) {
    return SAFE(RtlStringCchCatN)(Destination, Cb / sizeof(SAFE_CHAR), Source, LimitBytes / sizeof(SAFE_CHAR));
}

static FORCEINLINE NTSTATUS SAFE(RtlStringCbCatEx)(SAFE_CHAR *Destination, size_t Cb, const SAFE_CHAR *Source,
                                                   SAFE_CHAR **End, size_t *RemainingBytes, ULONG Flags) {
    size_t Remaining = 0;
    NTSTATUS Status = SAFE(RtlStringCchCatEx)(Destination, Cb / sizeof(SAFE_CHAR), Source, End, &Remaining, Flags);
    if (RemainingBytes != NULL && Status != STATUS_INVALID_PARAMETER) {
        *RemainingBytes = Remaining * sizeof(SAFE_CHAR) + Cb % sizeof(SAFE_CHAR);
    }
    return Status;
}
