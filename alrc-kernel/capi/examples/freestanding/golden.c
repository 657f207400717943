/* Replays golden traces, which are part of the program (trace.awk makes trace.h), on a machine without an operating
 * system or a C library, and prints PASS with the checksums of the final states, or FAIL.
 *
 * In float the losses of a step go through one call, in double through the two phases. */
#include "alrc.h"
#include "platform.h"

enum { MAX_BATCH = 16 };

typedef struct {
    float num_stddev, decay, mu1_start, mu2_start;
} parameters;

/* Of an element of a step: the loss, and what the published implementation made of it. */
typedef struct {
    uint16_t step;
    float loss, clipped, scale, mu1, mu2;
} row;

typedef struct {
    const parameters *parameters;
    const row *rows;
    size_t len;
} trace;

#include "trace.h"

/* Within what the rounding of float differs between implementations; false for NaN. */
static int is_near(double actual, double expected) {
    double tolerance = 1e-5 * (expected < 0 ? -expected : expected);
    return actual - expected <= tolerance && expected - actual <= tolerance;
}

/* A scale, unless the loss is so near the limit that it may be taken as clipped or not. */
static int is_scale(double actual, double loss, double limit, double expected) {
    return is_near(loss, limit) || is_near(actual, expected);
}

/* Of the rows, which begin with a step, those of that step. */
static size_t batch_len(const row *rows, size_t len) {
    size_t count = 1;
    while (count < len && rows[count].step == rows[0].step) {
        count++;
    }
    return count;
}

static int step_f32(alrc_f32 *state, const row *rows, size_t len) {
    float losses[MAX_BATCH], clipped[MAX_BATCH], scales[MAX_BATCH], mu1, mu2;
    alrc_f32_report report;
    for (size_t i = 0; i < len; i++) {
        losses[i] = rows[i].loss;
    }
    if (alrc_f32_step_batch(state, losses, clipped, scales, len, &report) || !report.updated ||
        alrc_f32_moments(state, &mu1, &mu2)) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_near(clipped[i], rows[i].clipped) ||
            !is_scale(scales[i], losses[i], report.limit, rows[i].scale)) {
            return 0;
        }
    }
    return is_near(mu1, rows[0].mu1) && is_near(mu2, rows[0].mu2);
}

static int step_f64(alrc_f64 *state, const row *rows, size_t len) {
    double losses[MAX_BATCH], scales[MAX_BATCH], mu1, mu2;
    size_t half = len / 2;
    alrc_f64_limits limits;
    alrc_f64_sums sums, rest;
    for (size_t i = 0; i < len; i++) {
        losses[i] = rows[i].loss;
    }
    if (alrc_f64_limits(state, &limits) || alrc_f64_clip(&limits, losses, losses, scales, half, &sums) ||
        alrc_f64_clip(&limits, losses + half, losses + half, scales + half, len - half, &rest) ||
        alrc_f64_sums_merge(&sums, &rest) || alrc_f64_update(state, &sums) ||
        alrc_f64_moments(state, &mu1, &mu2)) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_near(losses[i], rows[i].clipped) ||
            !is_scale(scales[i], rows[i].loss, limits.upper, rows[i].scale)) {
            return 0;
        }
    }
    return is_near(mu1, rows[0].mu1) && is_near(mu2, rows[0].mu2);
}

/* The checksum at the end of a snapshot, in digits. */
static void print_checksum(const uint8_t *bytes) {
    char text[] = "........ ";
    for (int i = 0; i < 8; i++) {
        text[i] = "0123456789abcdef"[bytes[ALRC_SNAPSHOT_LEN - 1 - i / 2] >> (i % 2 ? 0 : 4) & 15];
    }
    print(text);
}

static int replay(const trace *trace) {
    const parameters *parameters = trace->parameters;
    alrc_f32_config config_f32;
    alrc_f64_config config_f64;
    alrc_f32 f32;
    alrc_f64 f64;
    uint8_t bytes[ALRC_SNAPSHOT_LEN];
    if (alrc_f32_config_default(&config_f32) || alrc_f64_config_default(&config_f64)) {
        return 0;
    }
    config_f64.num_stddev = config_f32.num_stddev = parameters->num_stddev;
    config_f64.decay1 = config_f64.decay2 = config_f32.decay1 = config_f32.decay2 = parameters->decay;
    config_f64.mu1_start = config_f32.mu1_start = parameters->mu1_start;
    config_f64.mu2_start = config_f32.mu2_start = parameters->mu2_start;
    if (alrc_f32_init(&f32, &config_f32) || alrc_f64_init(&f64, &config_f64)) {
        return 0;
    }
    for (size_t i = 0, len; i < trace->len; i += len) {
        len = batch_len(trace->rows + i, trace->len - i);
        if (len > MAX_BATCH || !step_f32(&f32, trace->rows + i, len) ||
            !step_f64(&f64, trace->rows + i, len)) {
            return 0;
        }
    }
    if (alrc_f32_save(&f32, bytes, sizeof bytes)) {
        return 0;
    }
    print_checksum(bytes);
    if (alrc_f64_save(&f64, bytes, sizeof bytes)) {
        return 0;
    }
    print_checksum(bytes);
    return 1;
}

int golden(void) {
    int agrees = alrc_version() == ALRC_VERSION;
    for (size_t i = 0; i < sizeof traces / sizeof traces[0]; i++) {
        agrees &= replay(&traces[i]);
    }
    print(agrees ? "PASS\n" : "FAIL\n");
    return agrees;
}
