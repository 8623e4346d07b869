/* The blobs as data of the program: parasite_blob .. parasite_blob_end, restorer_blob .. restorer_blob_end. */
	.section .rodata
	.macro blob name, file
	.global \name
	.balign 4096
\name:
	.incbin "\file"
	.global \name\()_end
\name\()_end:
	.endm

	blob parasite_blob, "parasite.bin"
	blob restorer_blob, "restorer.bin"
	.section .note.GNU-stack, "", @progbits
