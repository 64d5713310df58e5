import { postStep } from './post-step';
import { runStep } from './runner/lifecycle';

void runStep(postStep);
