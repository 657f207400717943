// What stands between the convolutions of the backward pass.

@group(0) @binding(0) var<uniform> layer: Layer;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;
// Of `clear_dropped`.
@group(0) @binding(1) var<storage, read> dropped: array<u32>;

// The gradient of a ReLU's output where it passed, else 0. A tile of one channel a thread.
@compute @workgroup_size(THREADS)
fn apply_mask(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    if index >= tiles(layer) * layer.out_channels {
        return;
    }
    let place = place_of(layer, layer.out_channels, index);
    let passed = mask[index];
    for (var pixel = 0u; pixel < TILE * TILE; pixel++) {
        let row = place.row + pixel / TILE;
        let column = place.column + pixel % TILE;
        if row < layer.height && column < layer.width {
            let at = pixel_index(layer, layer.out_channels, place.image, row, column, place.channel);
            var value = 0.0;
            if ((passed >> pixel) & 1u) == 1u {
                value = source[at];
            }
            result[at] = value;
        }
    }
}

// Fills the images that contribute nothing with zeros: zero times NaN would be NaN. One element of `in_channels` a
// thread.
@compute @workgroup_size(THREADS)
fn clear_dropped(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let per_image = layer.height * layer.width * layer.in_channels;
    if index < layer.images * per_image && dropped[index / per_image] == 1u {
        result[index] = 0.0;
    }
}

const BIAS_THREADS = 256u;

var<workgroup> sums: array<f32, BIAS_THREADS>;

// Adds the gradient of the bias to `result`, the arena of gradients. A workgroup a channel: a sum for each thread, then
// a tree.
@compute @workgroup_size(BIAS_THREADS)
fn bias_gradient(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
) {
    let channel = group.x;
    var sum = 0.0;
    for (var pixel = thread; pixel < layer.images * layer.height * layer.width; pixel += BIAS_THREADS) {
        sum += source[pixel * layer.out_channels + channel];
    }
    sums[thread] = sum;
    workgroupBarrier();
    for (var half = BIAS_THREADS / 2u; half > 0u; half /= 2u) {
        if thread < half {
            sums[thread] += sums[thread + half];
        }
        workgroupBarrier();
    }
    if thread == 0u {
        result[layer.bias + channel] += sums[0];
    }
}
