/* A Cortex-M, with a debugger or an emulator that listens (semihosting). */
#include "platform.h"

#include <stdint.h>

enum { SYS_WRITE0 = 0x04, SYS_EXIT = 0x18 };

static void debugger(uintptr_t operation, uintptr_t argument) {
    register uintptr_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void print(const char *text) {
    debugger(SYS_WRITE0, (uintptr_t)text);
}

void start(void);
void start(void) {
    const uintptr_t application_exit = 0x20026, run_time_error = 0x20023;
    debugger(SYS_EXIT, golden() ? application_exit : run_time_error);
    for (;;) {
    }
}

/* Nothing may use floating point before the unit is switched on: CP10 and CP11 in the CPACR. */
void reset(void);
__asm__(".syntax unified\n"
        ".thumb_func\n"
        ".globl reset\n"
        "reset:\n"
#ifdef __ARM_FP
        "    ldr r0, =0xe000ed88\n"
        "    ldr r1, [r0]\n"
        "    ldr r2, =0x00f00000\n"
        "    orrs r1, r2\n"
        "    str r1, [r0]\n"
        "    dsb\n"
        "    isb\n"
#endif
        "    bl start\n"
        "    .ltorg\n");

/* The end of the memory, where the stack begins; cortex_m.ld places it. */
extern void stack_top(void);

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    stack_top, reset, reset, reset, /* NMI and HardFault end in FAIL, for the program begins anew without end */
};
