// Stands before every other file: what the kernels share. THREADS and TILE are set by `kernels.rs`; `template.rs` says
// what `unroll` means.

struct Layer {
    images: u32,
    height: u32,
    width: u32,
    in_channels: u32,
    out_channels: u32,
    // Where the layer's weights and bias begin in the arena of parameters, and in that of their gradients.
    weights: u32,
    bias: u32,
    // 1: the forward pass, with bias and mask; a ReLU; a skip connection; else 0.
    is_forward: u32,
    has_relu: u32,
    has_skip: u32,
    // 1: the weights are those of the input gradient, rotated by half a turn and transposed.
    is_transposed: u32,
    // Of direct weight gradients: the rows of all images are cut into pieces of so many.
    rows_of_piece: u32,
}

// The number of a thread in a grid of workgroups that is folded into two dimensions.
fn thread_index(id: vec3<u32>, workgroups: vec3<u32>) -> u32 {
    return id.y * workgroups.x * THREADS + id.x;
}

// Whether a number is neither NaN nor infinite. By its bits: compilers may assume that no number is either.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// Whether the ReLU lets a number pass: those above 0, and NaN, so that it reaches the loss and is noticed there.
fn passes(x: f32) -> bool {
    let bits = bitcast<u32>(x);
    return (bits != 0u && bits <= 0x7f800000u) || (bits & 0x7fffffffu) > 0x7f800000u;
}

// A place in a tensor [images, tiles of rows, tiles of columns, channels] of tiles.
struct Place {
    image: u32,
    row: u32,
    column: u32,
    channel: u32,
}

fn tile_rows(layer: Layer) -> u32 {
    return (layer.height + TILE - 1u) / TILE;
}

fn tile_columns(layer: Layer) -> u32 {
    return (layer.width + TILE - 1u) / TILE;
}

fn tiles(layer: Layer) -> u32 {
    return layer.images * tile_rows(layer) * tile_columns(layer);
}

// The place of the tile and channel with number `index`; row and column are those of its first pixel.
fn place_of(layer: Layer, channels: u32, index: u32) -> Place {
    let tile = index / channels;
    let per_image = tile_rows(layer) * tile_columns(layer);
    let in_image = tile % per_image;
    return Place(
        tile / per_image,
        in_image / tile_columns(layer) * TILE,
        in_image % tile_columns(layer) * TILE,
        index % channels,
    );
}

fn pixel_index(layer: Layer, channels: u32, image: u32, row: u32, column: u32, channel: u32) -> u32 {
    return ((image * layer.height + row) * layer.width + column) * channels + channel;
}
