    # The PVH note: Xen's type 18 with the 32-bit physical address of the entry.
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .long pvh_entry

    # The Multiboot2 header (specification 2.0, section 3.1).
    .section .multiboot2, "a"
    .balign 8
multiboot2_header:
    .long 0xe85250d6, 0, multiboot2_header_end - multiboot2_header
    .long -(0xe85250d6 + (multiboot2_header_end - multiboot2_header))
    # Tag 6: modules at page boundaries.
    .balign 8
    .short 6, 0
    .long 8
    # Tag 0: the end.
    .balign 8
    .short 0, 0
    .long 8
multiboot2_header_end:

    .section .text.entry, "ax"
    .code32
    .globl pvh_entry
pvh_entry:
    mov edi, 1
    jmp 1f

    .globl multiboot2_entry
multiboot2_entry:
    mov edi, 2
    cmp eax, 0x36d76289
    jne not_by_multiboot2

1:  cli
    cld
    mov esp, offset entry_stack_top
    mov esi, ebx

    # Long mode? Bit 29 of EDX of CPUID leaf 0x80000001, if there is such a leaf. EDI and ESI outlive CPUID.
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb no_long_mode
    mov eax, 0x80000001
    cpuid
    bt edx, 29
    jnc no_long_mode
    mov ebp, edx

    # 2048 entries of 2 MiB: present, writable, large.
    xor ecx, ecx
2:  mov eax, ecx
    shl eax, 21
    or eax, 0x83
    mov [entry_tables + 0x2000 + ecx * 8], eax
    mov dword ptr [entry_tables + 0x2000 + ecx * 8 + 4], 0
    inc ecx
    cmp ecx, 2048
    jb 2b

    # Four directories, one directory-pointer table, one root. Their memory is zero before.
    mov eax, offset entry_tables + 0x2003
    xor ecx, ecx
3:  mov [entry_tables + 0x1000 + ecx * 8], eax
    add eax, 0x1000
    inc ecx
    cmp ecx, 4
    jb 3b
    mov dword ptr [entry_tables], offset entry_tables + 0x1003

    # CR4: physical address extension alone. Four levels, whatever was on before.
    mov eax, 0x20
    mov cr4, eax
    mov eax, offset entry_tables
    mov cr3, eax

    # EFER: long mode, and no-execute (bit 20 of EDX above) when there is such a thing.
    mov ecx, 0xc0000080
    xor edx, edx
    mov eax, 0x100
    bt ebp, 20
    jnc 4f
    or eax, 0x800
4:  wrmsr

    # CR0: paging, write protection also in ring 0, protected mode; caches on.
    mov eax, 0x80010011
    mov cr0, eax
    lgdt [entry_descriptors_pointer]
    push 0x08
    mov eax, offset long_mode
    push eax
    retf

no_long_mode:
    mov esi, offset no_long_mode_text
    jmp say
not_by_multiboot2:
    mov esi, offset not_by_multiboot2_text
say:
    lodsb
    test al, al
    jz 5f
    out 0xe9, al
    # COM1 as it is; a port that never takes the byte is not waited for.
    mov ah, al
    mov ecx, 100000
7:  mov dx, 0x3fd
    in al, dx
    test al, 0x20
    jnz 8f
    dec ecx
    jnz 7b
8:  mov dx, 0x3f8
    mov al, ah
    out dx, al
    jmp say
5:  mov al, 0x11
    out 0xf4, al
6:  cli
    hlt
    jmp 6b

    .code64
long_mode:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    mov rsp, offset entry_stack_top
    xor ebp, ebp
    mov edi, edi
    mov esi, esi
    call {enter_rust}
    ud2

    .section .rodata.entry, "a"
no_long_mode_text:
    .asciz "boot: error: this processor has no 64-bit mode\n"
not_by_multiboot2_text:
    .asciz "boot: error: entered neither by PVH nor by Multiboot2\n"

    # Null, 64-bit code, data.
    .balign 8
entry_descriptors:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
entry_descriptors_pointer:
    .short 23
    .long entry_descriptors

    .section .bss.entry, "aw", @nobits
    .balign 4096
entry_tables:
    .skip 6 * 4096
entry_stack:
    .skip 256 * 1024
entry_stack_top:
