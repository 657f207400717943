// What stands between the convolutions of the backward pass.

@group(0) @binding(0) var<uniform> layer: Layer;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;
// Of the gradient: [tiles, out_channels].
@group(0) @binding(4) var<storage, read_write> tile_sums: array<f32>;
// Of `clear_dropped`.
@group(0) @binding(1) var<storage, read> dropped: array<u32>;

// The gradient of the output where the mask lets it pass, else 0; and its sum over each tile. A tile of one channel a
// thread.
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
    var sum = 0.0;
    for (var pixel = 0u; pixel < TILE * TILE; pixel++) {
        let row = place.row + pixel / TILE;
        let column = place.column + pixel % TILE;
        if row < layer.height && column < layer.width {
            let at = pixel_index(layer, layer.out_channels, place.image, row, column, place.channel);
            var value = 0.0;
            if ((passed >> pixel) & 1u) == 1u {
                value = source[at];
            }
            sum += value;
            result[at] = value;
        }
    }
    tile_sums[index] = sum;
}

const GROUP_THREADS = 256u;

// Fills the images that contribute nothing with zeros: zero times NaN would be NaN. A workgroup an image of
// `in_channels` channels.
@compute @workgroup_size(GROUP_THREADS)
fn clear_dropped(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
) {
    let image = group.x;
    if dropped[image] == 0u {
        return;
    }
    let image_len = layer.height * layer.width * layer.in_channels;
    for (var index = thread; index < image_len; index += GROUP_THREADS) {
        result[image * image_len + index] = 0.0;
    }
}

var<workgroup> sums: array<f32, GROUP_THREADS>;

// Adds the gradient of the bias, from the tiles' sums in `source`, to `result`, the arena of gradients. A workgroup a
// channel: a sum for each thread, then a tree.
@compute @workgroup_size(GROUP_THREADS)
fn bias_gradient(
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3<u32>,
) {
    let channel = group.x;
    var sum = 0.0;
    for (var tile = thread; tile < tiles(layer); tile += GROUP_THREADS) {
        sum += source[tile * layer.out_channels + channel];
    }
    sums[thread] = sum;
    workgroupBarrier();
    for (var half = GROUP_THREADS / 2u; half > 0u; half /= 2u) {
        if thread < half {
            sums[thread] += sums[thread + half];
        }
        workgroupBarrier();
    }
    if thread == 0u {
        result[layer.bias + channel] += sums[0];
    }
}
