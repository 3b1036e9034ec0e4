; font.asm: the console font: Debian's fonts-spleen, 8x16, a PC Screen Font file taken over byte by byte.

        section .rodata
        align   16
        global  HalFont, HalFontEnd
HalFont:
        incbin  "font.psf"
HalFontEnd:
