/* First bytes of a blob: called with the blob's argument in rdi, on a stack that the caller gave it. */
	.section .head.text, "ax"
	.global blob_start
blob_start:
	xorl	%ebp, %ebp
	andq	$-16, %rsp
	call	blob_main
	ud2
	.section .note.GNU-stack, "", @progbits
