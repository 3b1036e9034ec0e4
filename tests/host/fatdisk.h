/* fatdisk.h: a disk in memory under the file system's core, in place of mm/view.c: it can fail a request, or stop
 * being written to at any sector, as when a machine dies. */
#ifndef _FATDISK_H_
#define _FATDISK_H_

#include "../../kernel/drivers/fastfat/fat.h"

void *malloc(size_t Bytes);
void free(void *Memory);

typedef struct _FAT_DISK {
    BLOCK_DEVICE Device;
    UCHAR *Bytes;
    LONG64 WritesLeft;   /* sectors that still reach the disk; -1: all */
    LONG64 RequestsLeft; /* requests until one fails; -1: none does */
    LONG Views;          /* mapped now */
    LONG64 SectorsWritten, Requests;
    ULONG AllocationsFail; /* one of so many; 0: none */
    LONG Blocks;           /* of pool, that are allocated now */
} FAT_DISK;

extern FAT_DISK Disk;

#endif
