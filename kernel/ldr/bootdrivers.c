/* bootdrivers.c: the drivers of the boot option load=NAME,NAME,PREFIX*, and the file system. */
#include "ldrp.h"

#include <block.h>
#include <ring.h>
#include <rtl.h>

/* Calls Found for each NAME of drivers/NAME.sys in the boot archive that starts with Prefix, in order. */
static VOID ForEachDriver(PCSTR Prefix, VOID (*Found)(PCSTR Name)) {
    SIZE_T Offset = 0;
    PCSTR Path;
    while (LdrpNextArchiveFile(&Offset, &Path)) {
        CHAR Name[LDR_NAME_BYTES + 4]; /* with its extension */
        if (strncmp(Path, "drivers/", 8) != 0 || strncmp(Path + 8, Prefix, strlen(Prefix)) != 0) {
            continue;
        }
        RtlFormat(Name, sizeof(Name), "%s", Path + 8);
        PCHAR Extension = strrchr(Name, '.');
        if (Extension != NULL) {
            *Extension = 0;
            Found(Name);
        }
    }
}

static VOID LoadOne(PCSTR Name) {
    LdrLoadDriver(Name, NULL);
}

static VOID LoadBootDrivers(VOID) {
    CHAR List[256];
    if (!KeGetBootOption("load", List, sizeof(List))) {
        return;
    }
    for (PCHAR Name = List; Name != NULL && *Name != 0;) {
        PCHAR Comma = strchr(Name, ',');
        if (Comma != NULL) {
            *Comma++ = 0;
        }
        PCHAR Star = strchr(Name, '*');
        if (Star != NULL) {
            *Star = 0;
            ForEachDriver(Name, LoadOne);
        } else {
            LoadOne(Name);
        }
        Name = Comma;
    }
}
KE_STARTUP_STEP(StartLast, LoadBootDrivers);

/* Paging works: the file system's code is pageable. Without a volume there is nothing to drive. */
static VOID StartFileSystem(VOID) {
    PDRIVER_OBJECT DriverObject;
    if (IoGetVolumeDisk() != NULL) {
        LdrLoadDriver("fastfat", &DriverObject); /* says itself what goes wrong */
    }
}
KE_STARTUP_STEP(StartAfterPaging, StartFileSystem);
