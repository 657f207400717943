// The loss of each image, its clipping, and the gradient of the batch's mean clipped loss with respect to the output.
//
// The clipping is that of `alrc_kernel` with `Scaling::Ratio`: its limit is known before the losses are.

struct Clipping {
    // Losses from here on are clipped; the largest finite number where clipping is off.
    limit: f32,
    mean: f32,
    // Images in the batch.
    batch: f32,
    // 2 or 4.
    power: u32,
}

const LOSS_THREADS = 256u;

@group(0) @binding(0) var<uniform> clipping: Clipping;
@group(0) @binding(1) var<storage, read> output: array<f32>;
@group(0) @binding(2) var<storage, read> expected: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> raw_losses: array<f32>;
// 1 for an image that contributes nothing, as its loss is not finite.
@group(0) @binding(5) var<storage, read_write> dropped: array<u32>;

var<workgroup> sums: array<f32, LOSS_THREADS>;

fn scale_of(loss: f32) -> f32 {
    if loss < clipping.limit {
        return 1.0;
    }
    if clipping.limit > 0.0 && loss > 0.0 {
        return clipping.limit / loss;
    }
    if loss > clipping.limit {
        return clamp((clipping.limit - clipping.mean) / (loss - clipping.mean), 0.0, 1.0);
    }
    return 1.0;
}

// A workgroup an image: a sum for each thread, then a tree.
@compute @workgroup_size(LOSS_THREADS)
fn loss_and_gradient(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
) {
    let start = group.x * IMAGE_LEN;
    var sum = 0.0;
    for (var index = thread; index < IMAGE_LEN; index += LOSS_THREADS) {
        let error = output[start + index] - expected[start + index];
        let square = error * error;
        sum += select(square, square * square, clipping.power == 4u);
    }
    sums[thread] = sum;
    workgroupBarrier();
    for (var half = LOSS_THREADS / 2u; half > 0u; half /= 2u) {
        if thread < half {
            sums[thread] += sums[thread + half];
        }
        workgroupBarrier();
    }
    let raw = FACTOR * (sums[0] / f32(IMAGE_LEN));
    var loss = raw;
    var slope = 1.0;
    if raw >= SQUARE_ROOT_FROM {
        loss = sqrt(raw);
        slope = 0.5 / loss;
    }
    let keep = is_finite(raw);
    if thread == 0u {
        raw_losses[group.x] = raw;
        dropped[group.x] = select(1u, 0u, keep);
    }
    let factor = scale_of(loss) / clipping.batch * slope * FACTOR * f32(clipping.power) / f32(IMAGE_LEN);
    for (var index = thread; index < IMAGE_LEN; index += LOSS_THREADS) {
        var value = 0.0;
        if keep {
            let error = output[start + index] - expected[start + index];
            value = factor * select(error, error * error * error, clipping.power == 4u);
        }
        gradient[start + index] = value;
    }
}
