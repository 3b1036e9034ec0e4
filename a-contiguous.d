contiguous.o: kernel/mm/contiguous.c kernel/mm/mi.h kernel/include/ring.h \
 kernel/include/ke.h kernel/include/ddk/ntifs.h \
 kernel/include/ddk/ntddk.h kernel/include/ddk/wdm.h \
 kernel/include/ddk/ntdef.h kernel/include/ddk/sal.h \
 kernel/include/ddk/compiler.h kernel/include/ddk/ntstatus.h \
 kernel/include/ddk/intrin.h kernel/include/ddk/bugcodes.h \
 kernel/include/ddk/bugcodes.def kernel/include/ddk/wdmmem.h \
 kernel/include/ddk/wdmexcept.h kernel/include/ddk/wdmlock.h \
 kernel/include/ddk/wdmlookaside.h kernel/include/ddk/wdmrtl.h \
 kernel/include/ddk/wdmcrt.h kernel/include/ddk/wdmio.h \
 kernel/include/ddk/wdmfile.h kernel/include/ddk/wdmirp.h \
 kernel/include/ddk/wdmthread.h kernel/include/ddk/wdmps.h \
 kernel/include/ddk/wdmreg.h kernel/include/mm.h \
 kernel/include/ddk/block.h boot/bootinfo.h
kernel/mm/mi.h:
kernel/include/ring.h:
kernel/include/ke.h:
kernel/include/ddk/ntifs.h:
kernel/include/ddk/ntddk.h:
kernel/include/ddk/wdm.h:
kernel/include/ddk/ntdef.h:
kernel/include/ddk/sal.h:
kernel/include/ddk/compiler.h:
kernel/include/ddk/ntstatus.h:
kernel/include/ddk/intrin.h:
kernel/include/ddk/bugcodes.h:
kernel/include/ddk/bugcodes.def:
kernel/include/ddk/wdmmem.h:
kernel/include/ddk/wdmexcept.h:
kernel/include/ddk/wdmlock.h:
kernel/include/ddk/wdmlookaside.h:
kernel/include/ddk/wdmrtl.h:
kernel/include/ddk/wdmcrt.h:
kernel/include/ddk/wdmio.h:
kernel/include/ddk/wdmfile.h:
kernel/include/ddk/wdmirp.h:
kernel/include/ddk/wdmthread.h:
kernel/include/ddk/wdmps.h:
kernel/include/ddk/wdmreg.h:
kernel/include/mm.h:
kernel/include/ddk/block.h:
boot/bootinfo.h:
