/* serial.c: two UARTs, polled: COM1 for people, COM2 the machine channel. A missing one is noticed and skipped. */
#include <arch.h>

/* Registers of the 16550, relative to its base. */
#define UART_DATA 0
#define UART_INTERRUPT_ENABLE 1
#define UART_FIFO_CONTROL 2     /* write */
#define UART_INTERRUPT_STATUS 2 /* read */
#define UART_LINE_CONTROL 3
#define UART_MODEM_CONTROL 4
#define UART_LINE_STATUS 5
#define UART_SCRATCH 7
#define FIFO_ENABLE_AND_CLEAR 0x07
#define FIFO_IS_ENABLED 0xC0
#define FIFO_BYTES 16
#define LINE_8N1 0x03
#define LINE_DIVISOR_ACCESS 0x80
#define MODEM_DTR_RTS 0x03
#define STATUS_TRANSMITTER_EMPTY 0x20 /* room for the next burst */
#define STATUS_ALL_SENT 0x40          /* and nothing left on its way out */
#define DIVISOR_115200 1
#define MAXIMUM_POLLS 1000000 /* a byte takes 87 us; a poll at least 0.1 us, about 1 us on a real bus */

typedef struct _UART {
    USHORT Base;
    BOOLEAN IsPresent;
    ULONG BurstBytes; /* that fit into an empty transmitter */
    ULONG Room;       /* of these, not yet used */
} UART;

static UART Uarts[2] = {{.Base = 0x3F8}, {.Base = 0x2F8}};

/* A port without a device reads as 0xFF and forgets what is written. */
static BOOLEAN Answers(USHORT Base) {
    HalOut8(Base + UART_SCRATCH, 0x5A);
    BOOLEAN Remembers = HalIn8(Base + UART_SCRATCH) == 0x5A;
    HalOut8(Base + UART_SCRATCH, 0xA5);
    return Remembers && HalIn8(Base + UART_SCRATCH) == 0xA5;
}

static VOID InitializeUart(UART *Uart) {
    USHORT Base = Uart->Base;
    if (!Answers(Base)) {
        return;
    }
    HalOut8(Base + UART_INTERRUPT_ENABLE, 0);
    HalOut8(Base + UART_LINE_CONTROL, LINE_DIVISOR_ACCESS);
    HalOut8(Base + UART_DATA, DIVISOR_115200);
    HalOut8(Base + UART_INTERRUPT_ENABLE, 0); /* upper half of the divisor */
    HalOut8(Base + UART_LINE_CONTROL, LINE_8N1);
    HalOut8(Base + UART_FIFO_CONTROL, FIFO_ENABLE_AND_CLEAR);
    HalOut8(Base + UART_MODEM_CONTROL, MODEM_DTR_RTS);
    BOOLEAN HasFifo = (HalIn8(Base + UART_INTERRUPT_STATUS) & FIFO_IS_ENABLED) == FIFO_IS_ENABLED;
    Uart->BurstBytes = HasFifo ? FIFO_BYTES : 1;
    Uart->IsPresent = TRUE;
}

VOID HalInitializeSerial(VOID) {
    InitializeUart(&Uarts[0]);
    InitializeUart(&Uarts[1]);
}

BOOLEAN HalHasSerial(ULONG Port) {
    return Port >= 1 && Port <= RTL_NUMBER_OF(Uarts) && Uarts[Port - 1].IsPresent;
}

/* A UART that stops taking bytes costs one time-out and is then left alone: text must never hang the machine. */
static VOID AwaitStatus(UART *Uart, UCHAR Status) {
    for (ULONG Polls = 0; !(HalIn8(Uart->Base + UART_LINE_STATUS) & Status); Polls++) {
        if (Polls == MAXIMUM_POLLS) {
            Uart->IsPresent = FALSE;
            return;
        }
    }
}

static VOID PutByte(UART *Uart, UCHAR Byte) {
    if (Uart->Room == 0) {
        AwaitStatus(Uart, STATUS_TRANSMITTER_EMPTY);
        Uart->Room = Uart->BurstBytes;
    }
    Uart->Room--;
    HalOut8(Uart->Base + UART_DATA, Byte);
}

/* Any IRQL. The caller keeps two texts apart (kd/print.c). Lines end in "\n"; the wire gets "\r\n". */
VOID HalSerialPut(ULONG Port, PCSTR Text) {
    if (!HalHasSerial(Port)) {
        return;
    }
    UART *Uart = &Uarts[Port - 1];
    Uart->Room = 0; /* the last writer may have been another CPU, a while ago or just now */
    for (; *Text != 0 && Uart->IsPresent; Text++) {
        if (*Text == '\n') {
            PutByte(Uart, '\r');
        }
        PutByte(Uart, (UCHAR)*Text);
    }
}

/* Any IRQL. Returns when every byte has left: an emulator that ends drops the bytes still in its UARTs. */
VOID HalSerialDrain(VOID) {
    for (ULONG i = 0; i < RTL_NUMBER_OF(Uarts); i++) {
        if (Uarts[i].IsPresent) {
            AwaitStatus(&Uarts[i], STATUS_ALL_SENT);
        }
    }
}
