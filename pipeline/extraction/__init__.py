"""From videos to a feature set: frames, faces, flow, vectors. The only place of cv2 and av."""
