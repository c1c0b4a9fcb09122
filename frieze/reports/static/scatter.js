// Points on a canvas: by WebGL 2 where there is a graphics card, which moves a million at once, else pixel by pixel,
// which without a card is far faster than a browser's WebGL in software.
// It imports nothing, so that a page without a server can load it from a data URL.

const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;
const FAINT = 0.13; // of points that are not shown
const VERTEX = `#version 300 es
in vec2 place;
in float code;
in float shown;
uniform vec2 middle, scale;
uniform float size, pass;
uniform sampler2D palette;
out vec4 colour;
void main() {
  gl_Position = shown == pass ? vec4((place - middle) * scale, 0, 1) : vec4(2, 2, 2, 1);
  gl_PointSize = size;
  colour = texelFetch(palette, ivec2(int(code), 0), 0);
  colour.a = pass == 1.0 ? 1.0 : ${FAINT};
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 colour;
out vec4 pixel;
void main() { pixel = vec4(colour.rgb * colour.a, colour.a); }`;

// Whether WebGL runs on a graphics card: asked on a canvas of its own, as one that has been asked takes no other kind.
function hasCard() {
  const gl = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  const info = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = gl?.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return gl !== null && !SOFTWARE.test(name);
}

export class Scatter {
  constructor(canvas) {
    Object.assign(this, { canvas, xy: new Float32Array(), codes: new Uint8Array(), palette: [], shown: null });
    this.build();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => { this.build(); this.draw(); });
  }

  build() {
    this.gl = hasCard() ? this.canvas.getContext("webgl2", { antialias: false }) : null;
    if (!this.gl) return;
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.program = program;
    this.buffers = {};
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    this.setPoints(this.xy);
    this.setColours(this.codes, this.palette);
    this.setShown(this.shown);
  }

  // Float32Array of x and y of each point.
  setPoints(xy) {
    this.xy = xy;
    this.fill("place", xy, 2);
    if (this.codes.length !== xy.length / 2) this.setColours(new Uint8Array(xy.length / 2), this.palette);
    this.setShown(null);
  }

  // Uint8Array of each point's place in the palette, which has [red, green, blue], 0 to 255, of up to 256 colours.
  setColours(codes, palette) {
    Object.assign(this, { codes, palette });
    this.fill("code", codes, 1);
    if (!this.gl) return;
    const pixels = new Uint8Array(256 * 4);
    palette.forEach((colour, code) => pixels.set([...colour, 255], 4 * code));
    this.gl.texImage2D(this.gl.TEXTURE_2D, 0, this.gl.RGBA, 256, 1, 0, this.gl.RGBA, this.gl.UNSIGNED_BYTE, pixels);
  }

  // Uint8Array: 1 for points that are shown, 0 for those that are faint; null shows all.
  setShown(shown) {
    this.shown = shown;
    this.fill("shown", shown ?? new Uint8Array(this.xy.length / 2).fill(1), 1);
  }

  fill(name, values, width) {
    const { gl, program } = this;
    if (!gl) return;
    this.buffers[name] ??= gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    const at = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, width, values instanceof Float32Array ? gl.FLOAT : gl.UNSIGNED_BYTE, false, 0, 0);
  }

  // Draws with a point of the map in the middle: `side` are pixels for one of its units, `size` pixels of a point.
  draw(view = this.view) {
    if (!view) return;
    this.view = view;
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round);
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    (this.gl ? this.drawByGl : this.drawPlainly).call(this, view, ratio);
  }

  drawByGl({ x, y, side, size }, ratio) {
    const { gl, program, canvas } = this;
    const put = (name, ...values) => gl[`uniform${values.length}f`](gl.getUniformLocation(program, name), ...values);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    put("middle", x, y);
    put("scale", (2 * side * ratio) / canvas.width, (2 * side * ratio) / canvas.height);
    put("size", Math.max(1, size * ratio));
    for (const pass of this.shown ? [0, 1] : [1]) {
      put("pass", pass);
      gl.drawArrays(gl.POINTS, 0, this.xy.length / 2);
    }
  }

  drawPlainly({ x, y, side, size }, ratio) {
    const { canvas, xy, codes, shown } = this;
    const { width, height } = canvas;
    if (!width || !height) return;
    if (this.image?.width !== width || this.image.height !== height) this.image = new ImageData(width, height);
    const pixels = new Uint32Array(this.image.data.buffer).fill(0);
    const scale = side * ratio;
    const thick = Math.max(1, Math.round(size * ratio));
    const across = width / 2 - x * scale - thick / 2;
    const down = height / 2 + y * scale - thick / 2;
    for (const pass of shown ? [0, 1] : [1]) {
      const colours = this.colours(pass ? 255 : Math.round(255 * FAINT));
      for (let row = 0; row < codes.length; row += 1) {
        if (shown && shown[row] !== pass) continue;
        const left = (across + xy[2 * row] * scale) | 0; // plain loops: they run a million times at each frame
        const top = (down - xy[2 * row + 1] * scale) | 0;
        if (left < 0 || top < 0 || left + thick > width || top + thick > height) continue; // half a point at the edge is not missed
        const colour = colours[codes[row]];
        for (let at = top * width + left, end = at + thick * width; at < end; at += width) {
          for (let place = at; place < at + thick; place += 1) pixels[place] = colour;
        }
      }
    }
    canvas.getContext("2d").putImageData(this.image, 0, 0);
  }

  // The palette as pixels: red, green, blue and alpha, whatever the machine's order of bytes.
  colours(alpha) {
    const bytes = new Uint8Array(256 * 4);
    this.palette.forEach((colour, code) => bytes.set([...colour, alpha], 4 * code));
    return new Uint32Array(bytes.buffer);
  }
}
