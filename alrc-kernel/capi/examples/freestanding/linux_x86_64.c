/* Linux on x86-64 without a C library: system calls, the entry point, and the five functions for memory that every
 * compiler wants to find. */
#include "platform.h"

#include <stddef.h>

static long system_call(long number, long first, const void *second, size_t third) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return result;
}

void print(const char *text) {
    size_t len = 0;
    while (text[len]) {
        len++;
    }
    system_call(1, 1, text, len);
}

void start(void);
void start(void) {
    system_call(60, golden() ? 0 : 1, NULL, 0);
}

__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    call start\n");

void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memcpy(void *restrict to, const void *restrict from, size_t len) {
    /* volatile, or the compiler makes of the loop a call of the function that it is. */
    volatile unsigned char *target = to;
    const unsigned char *source = from;
    for (size_t i = 0; i < len; i++) {
        target[i] = source[i];
    }
    return to;
}

void *memmove(void *to, const void *from, size_t len);
void *memmove(void *to, const void *from, size_t len) {
    volatile unsigned char *target = to;
    const unsigned char *source = from;
    for (size_t i = 0; i < len; i++) {
        size_t place = target < source ? i : len - 1 - i;
        target[place] = source[place];
    }
    return to;
}

void *memset(void *to, int value, size_t len);
void *memset(void *to, int value, size_t len) {
    volatile unsigned char *target = to;
    for (size_t i = 0; i < len; i++) {
        target[i] = (unsigned char)value;
    }
    return to;
}

int memcmp(const void *first, const void *second, size_t len);
int memcmp(const void *first, const void *second, size_t len) {
    const unsigned char *left = first, *right = second;
    for (size_t i = 0; i < len; i++) {
        if (left[i] != right[i]) {
            return left[i] < right[i] ? -1 : 1;
        }
    }
    return 0;
}

int bcmp(const void *first, const void *second, size_t len);
int bcmp(const void *first, const void *second, size_t len) {
    return memcmp(first, second, len);
}
