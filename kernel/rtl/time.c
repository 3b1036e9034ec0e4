/* time.c: NT's time, in 100 ns since 1601-01-01, as a date and back; RtlRandomEx. */
#include <ntddk.h>

#define TICKS_PER_MS 10000LL
#define MS_PER_DAY 86400000LL
#define DAYS_PER_400_YEARS 146097
#define SECONDS_1601_TO_1970 11644473600LL

static BOOLEAN IsLeapYear(ULONG Year) {
    return Year % 4 == 0 && (Year % 100 != 0 || Year % 400 == 0);
}

static ULONG DaysOfMonth(ULONG Year, ULONG Month) {
    static const UCHAR Days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return Days[Month - 1] + (Month == 2 && IsLeapYear(Year));
}

/* Days from 1601-01-01 to the first of January of Year. */
static LONGLONG DaysBeforeYear(ULONG Year) {
    ULONG Years = Year - 1601;
    return 365LL * Years + Years / 4 - Years / 100 + Years / 400;
}

/* Any IRQL. */
VOID RtlTimeToTimeFields(PLARGE_INTEGER Time, PTIME_FIELDS TimeFields) {
    LONGLONG Ms = Time->QuadPart / TICKS_PER_MS, Days = Ms / MS_PER_DAY;
    ULONG OfDay = (ULONG)(Ms % MS_PER_DAY);
    ULONG Year = 1601 + (ULONG)(Days / DAYS_PER_400_YEARS) * 400, Month = 1;
    TimeFields->Weekday = (CSHORT)((Days + 1) % 7); /* 1601-01-01 was a Monday */
    while (DaysBeforeYear(Year + 1) <= Days) {
        Year++;
    }
    ULONG Day = (ULONG)(Days - DaysBeforeYear(Year));
    while (Day >= DaysOfMonth(Year, Month)) {
        Day -= DaysOfMonth(Year, Month++);
    }
    TimeFields->Year = (CSHORT)Year;
    TimeFields->Month = (CSHORT)Month;
    TimeFields->Day = (CSHORT)(Day + 1);
    TimeFields->Hour = (CSHORT)(OfDay / 3600000);
    TimeFields->Minute = (CSHORT)(OfDay / 60000 % 60);
    TimeFields->Second = (CSHORT)(OfDay / 1000 % 60);
    TimeFields->Milliseconds = (CSHORT)(OfDay % 1000);
}

/* Any IRQL. FALSE: no such date, or not between 1601 and 30827. The weekday is not looked at. */
BOOLEAN RtlTimeFieldsToTime(PTIME_FIELDS TimeFields, PLARGE_INTEGER Time) {
    const TIME_FIELDS *F = TimeFields;
    if (F->Year < 1601 || F->Year > 30827 || F->Month < 1 || F->Month > 12 || F->Day < 1 ||
        (ULONG)F->Day > DaysOfMonth((ULONG)F->Year, (ULONG)F->Month) || F->Hour < 0 || F->Hour > 23 || F->Minute < 0 ||
        F->Minute > 59 || F->Second < 0 || F->Second > 59 || F->Milliseconds < 0 || F->Milliseconds > 999) {
        return FALSE;
    }
    LONGLONG Days = DaysBeforeYear((ULONG)F->Year) + F->Day - 1;
    for (ULONG Month = 1; Month < (ULONG)F->Month; Month++) {
        Days += DaysOfMonth((ULONG)F->Year, Month);
    }
    LONGLONG Ms = F->Hour * 3600000LL + F->Minute * 60000LL + F->Second * 1000LL + F->Milliseconds;
    Time->QuadPart = (Days * MS_PER_DAY + Ms) * TICKS_PER_MS;
    return TRUE;
}

/* Any IRQL. FALSE: before 1970, or later than 32 bits reach (2106). */
BOOLEAN RtlTimeToSecondsSince1970(PLARGE_INTEGER Time, PULONG ElapsedSeconds) {
    LONGLONG Seconds = Time->QuadPart / (1000 * TICKS_PER_MS) - SECONDS_1601_TO_1970;
    if (Seconds < 0 || Seconds > (LONGLONG)MAXULONG) {
        return FALSE;
    }
    *ElapsedSeconds = (ULONG)Seconds;
    return TRUE;
}

/* Any IRQL. */
VOID RtlSecondsSince1970ToTime(ULONG ElapsedSeconds, PLARGE_INTEGER Time) {
    Time->QuadPart = (ElapsedSeconds + SECONDS_1601_TO_1970) * 1000 * TICKS_PER_MS;
}

/* Any IRQL. The machine keeps UTC and knows no other zone. */
VOID ExSystemTimeToLocalTime(PLARGE_INTEGER SystemTime, PLARGE_INTEGER LocalTime) {
    *LocalTime = *SystemTime;
}

/* Any IRQL. */
VOID ExLocalTimeToSystemTime(PLARGE_INTEGER LocalTime, PLARGE_INTEGER SystemTime) {
    *SystemTime = *LocalTime;
}

/* Any IRQL. 0 .. MAXLONG - 1, and the seed for the next call: Lehmer's generator modulo 2^31 - 1. */
ULONG RtlRandomEx(PULONG Seed) {
    *Seed = (ULONG)((*Seed * 48271ULL + 11) % MAXLONG);
    return *Seed;
}

/* Any IRQL. */
ULONG RtlRandom(PULONG Seed) {
    return RtlRandomEx(Seed);
}
