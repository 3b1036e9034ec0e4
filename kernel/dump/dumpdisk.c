/* dumpdisk.c: a stream of bytes onto the dump disk by polling: no interrupt, no lock, one buffer.
 *
 * The bytes gather in the buffer, which lies in the kernel's image and so in one piece of RAM, and go out in requests
 * as large as the disk takes. The checksum is that of the buffer, not of the memory it was filled from: a device may
 * still write into that. After the first error nothing more is written. */
#include <arch.h>
#include <dump.h>
#include <rtl.h>

#define ANSWER_SECONDS 5
#define ELF_MAGIC 0x7F

UCHAR KdDumpBuffer[KD_DUMP_BUFFER_BYTES] DECLSPEC_ALIGN(PAGE_SIZE);

static PBLOCK_DEVICE Disk;
static BLOCK_REQUEST Request;
static ULONG64 Flushed; /* bytes of the file that have left the buffer */
static SIZE_T Filled;   /* bytes in the buffer */
static ULONG Crc;
static NTSTATUS Status;
static UCHAR HeaderPage[PAGE_SIZE] DECLSPEC_ALIGN(8); /* as it was written first, but for its first byte: it is part of
                                                         the dump, and a range that begins with an ELF header would be
                                                         taken for a file with threads of its own */

static VOID Completed(PBLOCK_REQUEST Done) {
    UNREFERENCED_PARAMETER(Done);
}

/* STATUS_IO_TIMEOUT: the disk does not answer. */
static NTSTATUS WriteSectors(ULONG64 Sector, ULONG64 Physical, ULONG Bytes) {
    ULONG64 Hz = HalFeatures.TscHz ? HalFeatures.TscHz : 1000000000, Start = HalReadTsc();
    Request = (BLOCK_REQUEST){.IsWrite = TRUE,
                              .Sector = Sector,
                              .PhysicalAddress = Physical,
                              .LengthBytes = Bytes,
                              .Status = STATUS_PENDING,
                              .Complete = Completed};
    Disk->Submit(Disk, &Request);
    for (Disk->Poll(Disk); *(volatile NTSTATUS *)&Request.Status == STATUS_PENDING; Disk->Poll(Disk)) {
        if (HalReadTsc() - Start > Hz * ANSWER_SECONDS) {
            return STATUS_IO_TIMEOUT;
        }
        YieldProcessor();
    }
    return Request.Status;
}

/* Writes the first Bytes of the buffer, a multiple of the sector, to the file's offset. */
static VOID WriteBuffer(ULONG64 Offset, SIZE_T Bytes) {
    ULONG64 Physical = (ULONG64)MmGetPhysicalAddress(KdDumpBuffer).QuadPart;
    ULONG Largest = Disk->MaximumBytes & ~(BLOCK_SECTOR_SIZE - 1u);
    for (SIZE_T Done = 0; Done < Bytes && NT_SUCCESS(Status);) {
        ULONG Piece = Bytes - Done < Largest ? (ULONG)(Bytes - Done) : Largest;
        Status = WriteSectors((Offset + Done) / BLOCK_SECTOR_SIZE, Physical + Done, Piece);
        Done += Piece;
    }
}

static VOID SumHeaderPage(UCHAR *Page) {
    PKD_DUMP_HEADER Header = (PKD_DUMP_HEADER)(Page + KD_DUMP_HEADER_OFFSET);
    Header->HeaderCrc32 = 0;
    Header->HeaderCrc32 = KdExtendCrc(0, Page, PAGE_SIZE);
}

/* The buffer goes out, filled up with zeros to a whole sector. */
static VOID Flush(VOID) {
    SIZE_T Bytes = (Filled + BLOCK_SECTOR_SIZE - 1) & ~(BLOCK_SECTOR_SIZE - 1ULL);
    memset(KdDumpBuffer + Filled, 0, Bytes - Filled);
    SIZE_T Uncounted = Flushed == 0 ? PAGE_SIZE : 0; /* the header page is rewritten and has a checksum of its own */
    if (Flushed == 0) {
        SumHeaderPage(KdDumpBuffer);
        memcpy(HeaderPage, KdDumpBuffer, PAGE_SIZE);
        HeaderPage[0] = 0;
    }
    if (Bytes > Uncounted) {
        Crc = KdExtendCrc(Crc, KdDumpBuffer + Uncounted, Bytes - Uncounted);
    }
    WriteBuffer(Flushed, Bytes);
    Flushed += Bytes;
    Filled = 0;
}

/* Takes the disk over from its users, even from CPUs that are frozen in the middle of a request. */
NTSTATUS KdOpenDumpStream(PBLOCK_DEVICE Device) {
    Disk = Device;
    Flushed = Filled = Crc = 0;
    Status = STATUS_SUCCESS;
    Disk->Poll(Disk);
    return Disk->MaximumBytes < PAGE_SIZE ? STATUS_NOT_SUPPORTED : STATUS_SUCCESS;
}

VOID KdPutDump(const void *Data, SIZE_T Bytes) {
    for (SIZE_T Done = 0; Done < Bytes && NT_SUCCESS(Status);) {
        SIZE_T Room = sizeof(KdDumpBuffer) - Filled, Piece = Bytes - Done < Room ? Bytes - Done : Room;
        if (Data == NULL) {
            memset(KdDumpBuffer + Filled, 0, Piece);
        } else {
            memcpy(KdDumpBuffer + Filled, (const UCHAR *)Data + Done, Piece);
        }
        Filled += Piece;
        Done += Piece;
        if (Filled == sizeof(KdDumpBuffer)) {
            Flush();
        }
    }
}

/* The first error since the stream was opened, or success. */
NTSTATUS KdGetDumpStatus(VOID) {
    return Status;
}

ULONG64 KdGetDumpOffset(VOID) {
    return Flushed + Filled;
}

NTSTATUS KdSealDump(VOID) {
    if (NT_SUCCESS(Status) && Filled > 0) {
        Flush();
    }
    if (NT_SUCCESS(Status)) {
        PKD_DUMP_HEADER Header = (PKD_DUMP_HEADER)(HeaderPage + KD_DUMP_HEADER_OFFSET);
        Header->Flags |= KD_DUMP_COMPLETE;
        Header->Crc32 = Crc;
        HeaderPage[0] = ELF_MAGIC;
        SumHeaderPage(HeaderPage);
        memcpy(KdDumpBuffer, HeaderPage, PAGE_SIZE);
        WriteBuffer(0, PAGE_SIZE);
    }
    return Status;
}
