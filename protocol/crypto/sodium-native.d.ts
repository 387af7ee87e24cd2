// The part of sodium-native that protocol/crypto/ed25519.ts uses; the package ships no types.
declare module 'sodium-native' {
  interface SodiumNative {
    crypto_sign_seed_keypair(publicKey: Uint8Array, secretKey: Uint8Array, seed: Uint8Array): void;
    crypto_sign_detached(signature: Uint8Array, message: Uint8Array, secretKey: Uint8Array): void;
    crypto_sign_verify_detached(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
  }
  const sodium: SodiumNative;
  export default sodium;
}
