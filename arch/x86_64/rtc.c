/* rtc.c: the date, read once from the battery-backed clock behind ports 0x70 and 0x71. */
#include <arch.h>
#include <ring.h>

#define CMOS_SECONDS 0x00
#define CMOS_MINUTES 0x02
#define CMOS_HOURS 0x04
#define CMOS_DAY 0x07
#define CMOS_MONTH 0x08
#define CMOS_YEAR 0x09
#define CMOS_STATUS_A 0x0A
#define CMOS_STATUS_B 0x0B
#define STATUS_A_UPDATING 0x80
#define STATUS_B_BINARY 0x04

static UCHAR ReadCmos(UCHAR Register) {
    HalOut8(0x70, Register);
    return HalIn8(0x71);
}

static ULONG ReadCmosNumber(UCHAR Register) {
    UCHAR Raw = ReadCmos(Register);
    return ReadCmos(CMOS_STATUS_B) & STATUS_B_BINARY ? Raw : (ULONG)((Raw >> 4) * 10 + (Raw & 15));
}

/* Days from 1601-01-01 to the given Gregorian date: years are counted from March, so that leap days come last. */
static ULONG64 DaysSince1601(ULONG Year, ULONG Month, ULONG Day) {
    ULONG64 Y = Month <= 2 ? Year - 1 : Year, M = Month <= 2 ? Month + 9 : Month - 3;
    return Y * 365 + Y / 4 - Y / 100 + Y / 400 + (M * 153 + 2) / 5 + Day - 1 - 584694;
}

/* 100 ns units since 1 January 1601, to the second. Boot CPU, IF = 0. */
ULONG64 HalReadRealTimeClock(VOID) {
    for (ULONG Try = 0; Try < 100000 && ReadCmos(CMOS_STATUS_A) & STATUS_A_UPDATING; Try++) {
        YieldProcessor();
    }
    ULONG64 Days =
        DaysSince1601(2000 + ReadCmosNumber(CMOS_YEAR), ReadCmosNumber(CMOS_MONTH), ReadCmosNumber(CMOS_DAY));
    ULONG64 Seconds = Days * 86400 + ReadCmosNumber(CMOS_HOURS) * 3600 + ReadCmosNumber(CMOS_MINUTES) * 60 +
                      ReadCmosNumber(CMOS_SECONDS);
    return Seconds * 10000000;
}

/* At this moment the clock shows the uptime that the command line gives. */
static VOID SetDate(VOID) {
    KiBootTime += HalReadRealTimeClock();
}
KE_STARTUP_STEP(StartBeforeClock, SetDate);
