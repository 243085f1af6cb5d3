/*
 * Boot sector of the disk that an HVM guest boots from: Linux and its initramfs, loaded by what
 * SeaBIOS reads with (int 0x13, function 0x42), and started by Linux's own protocol
 * (Documentation/arch/x86/boot.rst). qemu's own way, -kernel, carries each byte through a port,
 * which under emulation takes minutes.
 *
 * The disk (boot-disk.ts): this sector; four of a command line; from sector 8 on the kernel as its
 * package has it; the initramfs. Memory: setup code at 0x10000 with its heap, the command line at
 * 0x1e000, a buffer for reads at 0x20000, the kernel at 1 MB, the initramfs at 80 MB. A guest of 96
 * MB, 8 of them for its display, has room for all.
 */
#define SETUP_SEGMENT 0x1000
#define HEAP_END 0xe000
#define LINE_SEGMENT 0x1e00
#define BUFFER_SEGMENT 0x2000
#define READ_SECTORS 127
#define LINE_SECTORS 4
#define KERNEL_SECTOR 8
#define KERNEL_ADDRESS 0x100000
#define INITRAMFS_ADDRESS 0x5000000

	.code16
	.globl _start
_start:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $0x7c00, %sp
	sti
	movb %dl, drive

	movw $LINE_SEGMENT, packet + 6
	movl $1, packet + 8
	movw $LINE_SECTORS, packet + 2
	call read
	movw $SETUP_SEGMENT, packet + 6
	movl $KERNEL_SECTOR, packet + 8
	movw setup_sectors, %ax
	movw %ax, packet + 2
	call read

	movzwl setup_sectors, %eax
	addl $KERNEL_SECTOR, %eax
	movl %eax, packet + 8
	movl kernel_sectors, %ebp
	movl $KERNEL_ADDRESS, %edi
	call load
	movl initramfs_sector, %eax
	movl %eax, packet + 8
	movl initramfs_sectors, %ebp
	movl $INITRAMFS_ADDRESS, %edi
	call load

	/* A loader without a number, with a heap. */
	movw $SETUP_SEGMENT, %ax
	movw %ax, %es
	movb $0xff, %es:0x210
	orb $0x80, %es:0x211
	movw $(HEAP_END - 0x200), %es:0x224
	movl $(LINE_SEGMENT << 4), %es:0x228
	movl $INITRAMFS_ADDRESS, %es:0x218
	movl initramfs_bytes, %ebx
	movl %ebx, %es:0x21c
	cli
	movw %ax, %ds
	movw %ax, %fs
	movw %ax, %gs
	movw %ax, %ss
	movw $HEAP_END, %sp
	ljmp $(SETUP_SEGMENT + 0x20), $0

/* %ebp sectors from that of `packet` on, to linear address %edi. */
load:
	movw $BUFFER_SEGMENT, packet + 6
1:	movl $READ_SECTORS, %ecx
	cmpl %ecx, %ebp
	jae 2f
	movl %ebp, %ecx
2:	movw %cx, packet + 2
	call read
	addl %ecx, packet + 8
	subl %ecx, %ebp
	/* A descriptor that was loaded in protected mode reaches all of memory after it. */
	cli
	lgdtl table
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	movw $8, %bx
	movw %bx, %ds
	movw %bx, %es
	andb $0xfe, %al
	movl %eax, %cr0
	xorw %bx, %bx
	movw %bx, %ds
	movw %bx, %es
	sti
	shll $7, %ecx
	movl $(BUFFER_SEGMENT << 4), %esi
	cld
	addr32 rep movsl
	testl %ebp, %ebp
	jnz 1b
	ret

/* Keeps all registers but %ax and %si. */
read:
	pushal
	movw $packet, %si
	movb $0x42, %ah
	movb drive, %dl
	int $0x13
	popal
	jc fail
	ret

fail:
	movw $0x0e45, %ax
	int $0x10
1:	hlt
	jmp 1b

	.balign 4
packet:
	.byte 16, 0
	.word 0
	.word 0, 0
	.quad 0
table:
	.word 15
	.long descriptors
	.balign 8
descriptors:
	.quad 0
	.quad 0x00cf92000000ffff
drive:
	.byte 0

/* Filled in by boot-disk.ts. */
	.org 0x1a0
setup_sectors:
	.word 0
	.word 0
kernel_sectors:
	.long 0
initramfs_sector:
	.long 0
initramfs_sectors:
	.long 0
initramfs_bytes:
	.long 0
	.org 0x1fe
	.word 0xaa55
