// Stands before the convolutions: their operands, and how they read and write a pixel.

@group(0) @binding(0) var<uniform> layer: Layer;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
@group(0) @binding(3) var<storage, read> parameters: array<f32>;
@group(0) @binding(4) var<storage, read> skip: array<f32>;
@group(0) @binding(5) var<storage, read_write> mask: array<u32>;

// A value of `source`, which has `channels` channels; 0 outside the image.
fn source_or_zero(channels: u32, image: u32, row: u32, column: u32, channel: u32) -> f32 {
    if row < layer.height && column < layer.width {
        return source[pixel_index(layer, channels, image, row, column, channel)];
    }
    return 0.0;
}

// Writes a pixel of a tile, if it lies in the image: the sum of products with bias, ReLU and skip connection. Returns its
// bit of the ReLU's mask.
fn finish(place: Place, pixel: u32, sum: f32) -> u32 {
    let row = place.row + pixel / TILE;
    let column = place.column + pixel % TILE;
    if row >= layer.height || column >= layer.width {
        return 0u;
    }
    var value = sum;
    if layer.has_bias == 1u {
        value += parameters[layer.bias + place.channel];
    }
    let passed = passes(value);
    if layer.has_relu == 1u && !passed {
        value = 0.0;
    }
    let at = pixel_index(layer, layer.out_channels, place.image, row, column, place.channel);
    if layer.has_skip == 1u {
        value += skip[at];
    }
    result[at] = value;
    return select(0u, 1u << pixel, passed);
}
