; font.asm: the console font: Spleen 8x16 from Debian's fonts-spleen, a PC Screen Font file as it is.

        section .rodata
        align   16
        global  HalFont, HalFontEnd
HalFont:
        incbin  "font.psf"
HalFontEnd:
