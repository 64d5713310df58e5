import { mainStep } from './main-step';
import { runStep } from './runner/lifecycle';

void runStep(mainStep);
