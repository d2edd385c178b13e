# A guest that fits on a page: what the tool's tests boot instead of the system. Entered by PVH in
# 32-bit mode, with the start info in ebx. `mode=console` echoes the first serial port; `mode=command`
# speaks the command channel on the second, and the command's first letter says what to do.
    .code32
    .section .note.pvh, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long _start

    .section .text
    .global _start
_start:
    mov esp, offset stack_end
    mov esi, [ebx + 24]             # the command line
    cmp byte ptr [esi + 7], 'n'
    je console

    mov ebp, 0x2f8
    mov esi, offset ready
    mov edi, 19
    call put_bytes
    call get_frame                  # Run
    mov al, [payload]
    cmp al, 'c'
    je cat
    cmp al, 'a'
    je arguments
    cmp al, 'n'
    je unknown
    cmp al, 'x'
    je exception
    cmp al, 'p'
    je panic
    cmp al, 'r'
    je reset
hang:
    hlt
    jmp hang

cat:                                # standard input to standard output, then status 0
    call get_frame
    cmp byte ptr [header], 3
    je cat_end
    mov byte ptr [header], 0x82
    call put_frame
    jmp cat
cat_end:
    xor eax, eax
    jmp finish

arguments:                          # the argument list itself, then status 3
    mov byte ptr [header], 0x82
    call put_frame
    mov eax, 0x0300
    jmp finish
unknown:
    mov eax, 1
    jmp finish
exception:
    mov eax, 0x0602
    jmp finish

finish:                             # al = kind of end, ah = code
    mov dword ptr [header], 0x000584
    mov [payload], eax
    mov byte ptr [payload + 4], 0
    call put_frame
    call get_frame                  # Shutdown
shut_down:
    mov eax, 0x10
    jmp leave
panic:
    mov esi, offset last_words
    mov edx, 0xe9
1:  lodsb
    test al, al
    jz 2f
    out dx, al
    jmp 1b
2:  mov eax, 0x11
leave:
    mov edx, 0xf4
    out dx, eax
    jmp hang
reset:
    lidt [no_table]
    ud2

console:
    mov ebp, 0x3f8
    mov al, '>'
    call put
1:  call get
    cmp al, 4
    je shut_down
    cmp al, 'P'
    je panic
    call put
    jmp 1b

put_header:                         # ecx = the three bytes
    mov [header], ecx
put_frame:
    mov esi, offset header
    movzx edi, word ptr [header + 1]
    add edi, 3
put_bytes:                          # edi of them, from esi on
    lodsb
    call put
    dec edi
    jnz put_bytes
    ret
get_frame:
    mov ebx, offset header
    mov edi, 3
1:  call get
    mov [ebx], al
    inc ebx
    dec edi
    jnz 1b
    movzx edi, word ptr [header + 1]
    test edi, edi
    jz 3f
2:  call get
    mov [ebx], al
    inc ebx
    dec edi
    jnz 2b
3:  ret

put:                                # al to the port whose base is ebp
    mov ah, al
    lea edx, [ebp + 5]
1:  in al, dx
    test al, 0x20
    jz 1b
    mov al, ah
    mov edx, ebp
    out dx, al
    ret
get:
    lea edx, [ebp + 5]
1:  in al, dx
    test al, 1
    jz 1b
    mov edx, ebp
    in al, dx
    ret

    .section .data
no_table:
    .word 0
    .long 0
ready:
    .byte 0x81, 16, 0
    .ascii "MelloOS-channel1"
last_words:
    .asciz "panic: on purpose\n"
header:
    .byte 0, 0, 0
payload:
    .space 4096 + 16
    .balign 16
    .space 1024
stack_end:
