/* time.c: NT's 100 ns since 1601 as FAT's year, month, day and two-second steps since 1980. Both as UTC. */
#include "fat.h"

#define TICKS_PER_SECOND 10000000LL
#define SECONDS_PER_DAY 86400LL
#define DAYS_1601_TO_1980 138426LL
#define DAYS_IN_FOUR_YEARS 1461LL
#define LAST_YEAR 127 /* 2107 */

static const USHORT DaysBefore[13] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};

/* 2100 is the one year of the range that the rule of four gets wrong; it counts as a leap year here, both ways. */
PAGEABLE static BOOLEAN IsLeap(ULONG YearsSince1980) {
    return YearsSince1980 % 4 == 0;
}

PAGEABLE static ULONG DaysBeforeMonth(ULONG Month, BOOLEAN IsLeapYear) {
    return DaysBefore[Month] + (Month >= 2 && IsLeapYear ? 1u : 0u);
}

PAGEABLE VOID FatEncodeTime(LONGLONG Time, PUSHORT Date, PUSHORT Clock, PUCHAR Tenths) {
    LONGLONG Seconds = Time / TICKS_PER_SECOND, Days = Seconds / SECONDS_PER_DAY - DAYS_1601_TO_1980;
    ULONG InDay = (ULONG)(Seconds % SECONDS_PER_DAY);
    if (Time <= 0 || Days < 0) {
        Days = InDay = 0;
    }
    ULONG Year = (ULONG)(Days / DAYS_IN_FOUR_YEARS) * 4, Day = (ULONG)(Days % DAYS_IN_FOUR_YEARS), Month = 0;
    while (Day >= (IsLeap(Year) ? 366u : 365u)) {
        Day -= IsLeap(Year) ? 366 : 365;
        Year++;
    }
    while (Day >= DaysBeforeMonth(Month + 1, IsLeap(Year))) {
        Month++;
    }
    Day -= DaysBeforeMonth(Month, IsLeap(Year));
    Year = Year > LAST_YEAR ? LAST_YEAR : Year;
    *Date = (USHORT)(Year << 9 | (Month + 1) << 5 | (Day + 1));
    *Clock = (USHORT)(InDay / 3600 << 11 | InDay / 60 % 60 << 5 | InDay % 60 / 2);
    if (Tenths) {
        *Tenths = (UCHAR)(InDay % 2 * 100 + (ULONG)(Time > 0 ? Time % TICKS_PER_SECOND / 100000 : 0));
    }
}

PAGEABLE LONGLONG FatDecodeTime(USHORT Date, USHORT Clock, UCHAR Tenths) {
    ULONG Year = Date >> 9, Month = (Date >> 5 & 15), Day = Date & 31;
    if (Month == 0 || Month > 12 || Day == 0) {
        return 0;
    }
    LONGLONG Days = DAYS_1601_TO_1980 + Year / 4 * DAYS_IN_FOUR_YEARS + Year % 4 * 365 + (Year % 4 != 0) +
                    DaysBeforeMonth(Month - 1, IsLeap(Year)) + Day - 1;
    LONGLONG Seconds = (Clock >> 11) * 3600 + (Clock >> 5 & 63) * 60 + (Clock & 31) * 2;
    return (Days * SECONDS_PER_DAY + Seconds) * TICKS_PER_SECOND + Tenths * 100000LL;
}

PAGEABLE VOID FatStampWrite(PFAT_ENTRY Entry) {
    LARGE_INTEGER Now;
    KeQuerySystemTime(&Now);
    FatEncodeTime(Now.QuadPart, &Entry->WriteDate, &Entry->WriteTime, NULL);
    Entry->AccessDate = Entry->WriteDate;
    if (!(Entry->Attributes & FAT_ATTRIBUTE_DIRECTORY)) {
        Entry->Attributes |= FAT_ATTRIBUTE_ARCHIVE;
    }
}

PAGEABLE VOID FatStampCreate(PFAT_ENTRY Entry) {
    LARGE_INTEGER Now;
    KeQuerySystemTime(&Now);
    FatEncodeTime(Now.QuadPart, &Entry->CreateDate, &Entry->CreateTime, &Entry->CreateTenths);
    FatStampWrite(Entry);
}
