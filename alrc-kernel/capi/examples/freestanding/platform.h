/* What golden.c asks of the machine it runs on. */
#ifndef PLATFORM_H
#define PLATFORM_H

void print(const char *text);

/* Whether the traces agree; called by the machine's entry point. */
int golden(void);

#endif
