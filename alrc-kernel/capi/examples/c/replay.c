/* Replays a trace of losses through every function of alrc.h and writes all results to a file, byte by byte.
 *
 *     replay TRACE.csv RESULTS.bin [PARAMETER=VALUE ...]
 *
 * The first line of a trace holds its parameters, the second names its columns: step, element, loss_in, ... All rows
 * with one step are one batch. The other callers write the same bytes, so that `cmp` compares them. */
#include "alrc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BATCH = 4096, MAX_PARAMETERS = 16, LINE = 4096 };

static void check(alrc_status status) {
    if (status != ALRC_OK) {
        fprintf(stderr, "replay: %s\n", alrc_status_message(status));
        exit(1);
    }
}

typedef struct {
    const char *name;
    double value;
} parameter;

/* Parameters from words of the form name=value. */
static size_t read_parameters(char *words, parameter *parameters, size_t count) {
    for (char *word = strtok(words, " \n"); word; word = strtok(NULL, " \n")) {
        char *equals = strchr(word, '=');
        if (equals && count < MAX_PARAMETERS) {
            *equals = 0;
            parameters[count++] = (parameter){word, strtod(equals + 1, NULL)};
        }
    }
    return count;
}

typedef struct {
    double losses[MAX_BATCH];
    size_t len;
    long step;   /* of the losses */
    int has_row; /* the first row of the next step has been read: */
    long next_step;
    double next_loss;
} batch;

/* Reads the rows of the next step; 0 at the end of the trace. */
static int read_batch(FILE *trace, batch *batch) {
    char line[LINE];
    batch->len = 0;
    for (;;) {
        if (!batch->has_row) {
            char *end;
            if (!fgets(line, sizeof line, trace)) {
                return batch->len > 0;
            }
            batch->next_step = strtol(line, &end, 10);
            (void)strtol(end + 1, &end, 10);
            batch->next_loss = strtod(end + 1, NULL);
            batch->has_row = 1;
        }
        if (batch->len == MAX_BATCH || (batch->len > 0 && batch->next_step != batch->step)) {
            return 1;
        }
        batch->step = batch->next_step;
        batch->losses[batch->len++] = batch->next_loss;
        batch->has_row = 0;
    }
}

/* The same text for float and double. */
#define REAL float
#define NAME(suffix) alrc_f32##suffix
#define REPLAY replay_f32
#include "replay_type.h"
#undef REAL
#undef NAME
#undef REPLAY
#define REAL double
#define NAME(suffix) alrc_f64##suffix
#define REPLAY replay_f64
#include "replay_type.h"

int main(int argc, char **argv) {
    parameter parameters[MAX_PARAMETERS];
    size_t count = 0;
    char first[LINE], skipped[LINE];
    FILE *trace = argc < 3 ? NULL : fopen(argv[1], "r");
    FILE *results = argc < 3 ? NULL : fopen(argv[2], "wb");
    if (!trace || !results || !fgets(first, sizeof first, trace)) {
        fprintf(stderr, "usage: replay TRACE.csv RESULTS.bin [PARAMETER=VALUE ...]\n");
        return 2;
    }
    count = read_parameters(first, parameters, count);
    for (int i = 3; i < argc; i++) {
        count = read_parameters(argv[i], parameters, count);
    }
    for (int is_double = 0; is_double < 2; is_double++) {
        rewind(trace);
        if (!fgets(skipped, sizeof skipped, trace) || !fgets(skipped, sizeof skipped, trace)) {
            return 2;
        }
        (is_double ? replay_f64 : replay_f32)(trace, results, parameters, count);
    }
    return fclose(results) != 0 || fclose(trace) != 0;
}
