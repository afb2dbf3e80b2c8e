// The webcam, one frame at a time.

const WHY = {
  NotAllowedError: 'The browser was not allowed to use the camera. Allow it for this page '
    + '(the symbol beside the address), then try again.',
  NotFoundError: 'No camera was found. Connect one, or choose a picture.',
  NotReadableError: 'The camera is in use by another program. Close that, then try again.',
};

export class Camera {
  #video;
  #stream = null;

  constructor(video) {
    this.#video = video;
  }

  // Raises an Error whose message says what to do.
  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error('Browsers give the camera only to pages of https:// and of localhost. '
        + 'Open this page there, or choose a picture.');
    }
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: 'user' },
      });
      this.#video.srcObject = this.#stream;
      await this.#video.play();
    } catch (error) {
      this.stop();
      throw new Error(WHY[error.name] ?? `The camera cannot be used (${error.name}).`);
    }
  }

  // The present frame, or null when the camera has been taken away.
  async frame() {
    const [track] = this.#stream?.getVideoTracks() ?? [];
    if (track?.readyState !== 'live' || !this.#video.videoWidth) return null;
    return createImageBitmap(this.#video);
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#video.srcObject = this.#stream = null;
  }
}
